"""The page of `lamp_fast.export.page`, served on this machine, with a model behind it."""
