"""Motion data sets: on disk, their statistics, and how folders of captures become one."""

from .clips import Caption, Clip, MotionDataset, mirror_text, open_dataset, split_names
from .preparation import Reading, prepare
from .statistics import normalisation

__all__ = [
    "Caption",
    "Clip",
    "MotionDataset",
    "Reading",
    "mirror_text",
    "normalisation",
    "open_dataset",
    "prepare",
    "split_names",
]
