"""Model folders on disk (`config.json` + safetensors) and the released checkpoints."""
