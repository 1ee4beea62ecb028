"""The released algorithm in plain PyTorch: functions over the released state dicts, slow and plain on purpose."""
