"""The console script `lamp-fast`."""
