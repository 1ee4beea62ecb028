"""Pictures of motions: an animated GIF, and a contact sheet that shows several moments at once. Pillow only."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import LampError
from ..files import new_file
from ..motion.heading import headings
from ..motion.skeleton import Skeleton
from . import figure

VIEW_ANGLE = math.radians(38)  # the camera stands this far to the left of where the figure first faces
EYE_HEIGHT = 0.86  # metres
CAMERA_LAG = 0.5  # seconds over which the camera averages the way of the root
MAX_COLUMNS = 4


def write_gif(
    path: str | os.PathLike,
    motions: Sequence[np.ndarray],
    captions: Sequence[str | Sequence[str]],
    skeleton: Skeleton,
    fps: float,
    size: int = 480,
) -> None:
    """Write motions side by side as one animation that loops; a shorter one rests in its last pose.

    Args:
        motions: arrays (T, J, 3) in metres, ground at y = 0.
        captions: one text per motion, or one text per frame of a motion.
        size: pixels; each motion gets a square of this size.

    Raises:
        LampError: joints of another shape or not finite, or a path that cannot be written.
    """
    motions = [_checked(joints, skeleton) for joints in motions]
    columns = min(len(motions), MAX_COLUMNS)
    panels = [_Panel(joints, skeleton, size) for joints in motions]
    texts = [
        [caption] * len(joints) if isinstance(caption, str) else caption
        for caption, joints in zip(captions, motions, strict=True)
    ]
    strips: dict[str, Image.Image] = {}
    frames, palette = [], None
    for t in range(max(map(len, motions))):
        pictures = []
        for panel, text in zip(panels, texts, strict=True):
            here = min(t, len(text) - 1)
            if text[here] not in strips:
                strips[text[here]] = figure.caption_strip(text[here], size, size // 8)
            pictures.append(_with_caption(panel.draw(here), strips[text[here]], (here + 1) / len(text)))
        frame = _tile(pictures, columns)
        palette = palette or frame.quantize(128)
        frames.append(frame.quantize(palette=palette, dither=Image.Dither.NONE))
    with new_file(path) as file:
        animation = {"save_all": True, "append_images": frames[1:], "duration": round(1000 / fps), "loop": 0}
        frames[0].save(file, format="GIF", optimize=False, **animation)


def write_contact_sheet(
    path: str | os.PathLike,
    motions: Sequence[np.ndarray],
    captions: Sequence[str],
    skeleton: Skeleton,
    fps: float,
    moments: int = 8,
    size: int = 240,
) -> None:
    """Write one PNG: a row for each motion, `moments` poses in a row from the first frame to the last.

    Arguments and errors as for `write_gif`.
    """
    motions = [_checked(joints, skeleton) for joints in motions]
    strip_height = size // 5
    font = ImageFont.load_default(size=size // 15)
    sheet = Image.new("RGB", (moments * size, len(motions) * (size + strip_height)), figure.BAND)
    for row, (joints, caption) in enumerate(zip(motions, captions, strict=True)):
        top = row * (size + strip_height)
        sheet.paste(figure.caption_strip(caption, moments * size, strip_height), (0, top))
        panel = _Panel(joints, skeleton, size)
        for column, t in enumerate(np.linspace(0, len(joints) - 1, moments).round().astype(int)):
            picture = panel.draw(t)
            corner = (size * 0.04, size * 0.03)
            ImageDraw.Draw(picture).text(corner, f"{t / fps:.1f} s", fill=figure.FAINT_INK, font=font)
            sheet.paste(picture, (column * size, top + strip_height))
    with new_file(path) as file:
        sheet.save(file, format="PNG")


class _Panel:
    """One motion and the camera that follows it."""

    def __init__(self, joints: np.ndarray, skeleton: Skeleton, size: int):
        self.joints, self.skeleton, self.size = joints, skeleton, size
        self.azimuth = float(headings(joints[:1], skeleton)[0]) + VIEW_ANGLE
        self.targets = _smooth(joints[:, 0] * [1, 0, 1], CAMERA_LAG * skeleton.fps) + [0, EYE_HEIGHT, 0]

    def draw(self, t: int) -> Image.Image:
        camera = figure.Camera(self.targets[t], self.azimuth)
        return figure.draw_figure(
            self.joints[t], self.skeleton, camera, self.size, path=self.joints[: t + 1, 0][:, [0, 2]]
        )


def _checked(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (skeleton.num_joints, 3) or len(joints) == 0:
        raise LampError(
            f"cannot draw joints of shape {joints.shape}; {skeleton.name} has (frames, {skeleton.num_joints}, 3)"
        )
    if not np.isfinite(joints).all():
        raise LampError("cannot draw this motion: its joints hold NaN or infinite values; repair or drop those frames")
    return joints


def _smooth(track: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian average over time; `sigma` in frames; ends are held."""
    reach = math.ceil(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(track, ((reach, reach), (0, 0)), mode="edge")
    return np.stack([np.convolve(axis, weights / weights.sum(), mode="valid") for axis in padded.T], axis=1)


def _with_caption(picture: Image.Image, strip: Image.Image, progress: float) -> Image.Image:
    """The strip over the foot of the picture, with a thin line on it that grows with time."""
    width, top = picture.width, picture.height - strip.height
    picture.paste(strip, (0, top))
    ImageDraw.Draw(picture).rectangle([0, top, round(width * progress), top + 2], fill=figure.MIDDLE)
    return picture


def _tile(pictures: list[Image.Image], columns: int) -> Image.Image:
    width, height = pictures[0].size
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * width, rows * height), figure.BAND)
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    return sheet
