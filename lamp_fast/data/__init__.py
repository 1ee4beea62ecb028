"""Motion data sets on disk, and their statistics."""

from .clips import Clip, MotionDataset, mirror_text, open_dataset
from .statistics import normalisation

__all__ = ["Clip", "MotionDataset", "mirror_text", "normalisation", "open_dataset"]
