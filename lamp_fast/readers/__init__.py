"""Motion files read: BVH, glTF, Acclaim, NumPy arrays, AMASS; every one becomes 22 joints, metres, Y up, 20 fps."""

from .bodies import BodyMap, read_map
from .motion import SUFFIXES, CapturedMotion, read_motion

__all__ = ["SUFFIXES", "BodyMap", "CapturedMotion", "read_map", "read_motion"]
