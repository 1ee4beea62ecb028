"""Motion data sets on disk, and the batches that training and evaluation read."""
