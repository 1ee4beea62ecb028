"""Released state dicts -> our models: sizes are read from the shapes, tensors are renamed."""
