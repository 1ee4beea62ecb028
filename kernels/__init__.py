"""Kernels and, beside each, its PyTorch reference of the same signature. Importing this package has no side effect."""
