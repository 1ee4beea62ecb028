"""One picture of one pose: a stick figure on a ground grid, seen by a perspective camera. Pillow only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..motion.skeleton import Skeleton

LEFT, RIGHT, MIDDLE = (226, 92, 52), (38, 120, 178), (58, 64, 84)
GROUND, GRID, SHADOW, PATH = (243, 241, 237), (198, 195, 188), (214, 211, 205), (168, 164, 158)
BAND, INK, FAINT_INK = (255, 255, 255), (44, 48, 60), (130, 132, 140)

OVERSAMPLING = 3  # drawn at three times the size and averaged down: Pillow's lines have no anti-aliasing of their own
BONE_WIDTH, RIM, HEAD_RADIUS = 0.075, 0.016, 0.105  # metres
GRID_REACH, GRID_STEP = 7, 1.0  # metres around the figure
NEAR = 0.4  # metres before the camera


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at `target`; all in metres, `focal` in picture heights."""

    target: np.ndarray
    azimuth: float
    elevation: float = np.radians(16)
    distance: float = 4.6
    focal: float = 1.72

    def project(self, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """`points` (..., 3) in metres -> pixels (..., 2) and depth in metres (...), at least `NEAR`."""
        level = np.cos(self.elevation)
        backward = np.array([level * np.sin(self.azimuth), np.sin(self.elevation), level * np.cos(self.azimuth)])
        right = np.array([np.cos(self.azimuth), 0.0, -np.sin(self.azimuth)])
        up = np.cross(backward, right)
        seen = (points - self.target - self.distance * backward) @ np.stack([right, up, -backward], axis=1)
        depth = np.maximum(seen[..., 2], NEAR)
        return 0.5 * size + seen[..., :2] * [1, -1] * self.pixels_per_metre(depth, size)[..., None], depth

    def pixels_per_metre(self, depth, size: int):
        return self.focal * size / depth


def draw_figure(
    joints: np.ndarray, skeleton: Skeleton, camera: Camera, size: int, path: np.ndarray | None = None
) -> Image.Image:
    """Draw one pose.

    Args:
        joints: (J, 3) metres, ground at y = 0.
        size: width and height of the picture in pixels.
        path: (T, 2) x and z of the way walked so far, drawn on the ground.
    """
    scale = size * OVERSAMPLING
    picture = Image.new("RGB", (scale, scale), GROUND)
    draw = ImageDraw.Draw(picture)
    _draw_grid(draw, camera, scale)
    if path is not None and len(path) > 1:
        ground = np.stack([path[:, 0], np.zeros(len(path)), path[:, 1]], axis=1)
        pixels, depth = camera.project(ground, scale)
        draw.line([tuple(p) for p in pixels[depth > NEAR]], fill=PATH, width=max(1, scale // 200), joint="curve")
    _draw_shadow(draw, joints, skeleton, camera, scale)
    _draw_body(draw, joints, skeleton, camera, scale)
    return picture.reduce(OVERSAMPLING)


def _draw_grid(draw: ImageDraw.ImageDraw, camera: Camera, scale: int) -> None:
    """Lines each metre that fade into the ground with their distance from the figure."""
    middle = np.round(camera.target[[0, 2]] / GRID_STEP) * GRID_STEP
    steps = np.arange(-GRID_REACH, GRID_REACH + 1) * GRID_STEP
    along, across = (a.ravel() for a in np.meshgrid(steps[:-1], steps))
    flat = np.zeros_like(along)
    starts = np.stack([along, flat, across], axis=1)
    lines = np.stack([starts, starts + [GRID_STEP, 0, 0]], axis=1)
    lines = np.concatenate([lines, lines[..., ::-1]]) + [middle[0], 0, middle[1]]
    away = np.linalg.norm(lines.mean(axis=1)[:, [0, 2]] - camera.target[[0, 2]], axis=1)
    strength = np.clip(1 - away / (GRID_REACH - 1), 0, 1)[:, None]
    colours = (np.array(GROUND) * (1 - strength) + np.array(GRID) * strength).astype(int)
    pixels, depth = camera.project(lines, scale)
    visible = (depth > NEAR).all(axis=1) & (strength[:, 0] > 0)
    for line, colour in zip(pixels[visible].reshape(-1, 4).tolist(), colours[visible].tolist(), strict=True):
        draw.line(line, fill=tuple(colour), width=max(1, scale // 400))


def _colour(joint_name: str) -> tuple[int, int, int]:
    return {"l_": LEFT, "r_": RIGHT}.get(joint_name[:2], MIDDLE)


def _head_centre(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Half a head beyond the top joint of the spine."""
    top = skeleton.joint_names.index("head")
    bone = joints[top] - joints[skeleton.parents[top]]
    return joints[top] + 0.5 * HEAD_RADIUS * bone / max(np.linalg.norm(bone), 1e-6)


def _draw_shadow(draw: ImageDraw.ImageDraw, joints: np.ndarray, skeleton: Skeleton, camera: Camera, scale: int) -> None:
    """The figure lit from straight above."""
    pixels, depth = camera.project(joints * [1, 0, 1], scale)
    width = BONE_WIDTH * camera.pixels_per_metre(depth, scale)
    for parent, child in skeleton.bones:
        _line(draw, pixels[parent], pixels[child], width[child], SHADOW)
        _disc(draw, pixels[child], width[child] / 2, SHADOW)
    (x, y), depth = camera.project(_head_centre(joints, skeleton) * [1, 0, 1], scale)
    radius = HEAD_RADIUS * camera.pixels_per_metre(depth, scale)
    draw.ellipse([x - radius, y - 0.35 * radius, x + radius, y + 0.35 * radius], fill=SHADOW)


def _draw_body(draw: ImageDraw.ImageDraw, joints: np.ndarray, skeleton: Skeleton, camera: Camera, scale: int) -> None:
    """From far to near, each part with a light rim so that limbs stay apart where they cross."""
    pixels, depth = camera.project(joints, scale)
    head_pixel, head_depth = camera.project(_head_centre(joints, skeleton), scale)
    parts = [(depth[parent] + depth[child], parent, child) for parent, child in skeleton.bones]
    for twice_depth, parent, child in sorted([*parts, (2 * head_depth, 0, 0)], reverse=True):
        metre = camera.pixels_per_metre(twice_depth / 2, scale)
        if child == 0:
            _disc(draw, head_pixel, (HEAD_RADIUS + RIM) * metre, GROUND)
            _disc(draw, head_pixel, HEAD_RADIUS * metre, MIDDLE)
            continue
        start, end, colour = pixels[parent], pixels[child], _colour(skeleton.joint_names[child])
        if np.linalg.norm(joints[parent] - joints[child]) > 3 * BONE_WIDTH:
            _line(draw, 0.8 * start + 0.2 * end, 0.2 * start + 0.8 * end, (BONE_WIDTH + 2 * RIM) * metre, GROUND)
        _line(draw, start, end, BONE_WIDTH * metre, colour)
        _disc(draw, start, BONE_WIDTH / 2 * metre, colour)
        _disc(draw, end, BONE_WIDTH / 2 * metre, colour)


def _line(draw: ImageDraw.ImageDraw, start, end, width: float, colour: tuple[int, int, int]) -> None:
    draw.line([*start, *end], fill=colour, width=max(1, round(width)))


def _disc(draw: ImageDraw.ImageDraw, centre, radius: float, colour: tuple[int, int, int]) -> None:
    x, y = centre
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)


def caption_strip(text: str, width: int, height: int) -> Image.Image:
    """A white strip with `text` centred on at most two lines; what does not fit ends in an ellipsis."""
    strip = Image.new("RGB", (width, height), BAND)
    font = ImageFont.load_default(size=max(9, round(height * 0.3)))
    lines, words = [], text.split()
    while words and len(lines) < 2:
        count = len(words)
        while count > 1 and font.getlength(" ".join(words[:count])) > width * 0.94:
            count -= 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
    if words:
        lines[-1] += " …"
    ImageDraw.Draw(strip).multiline_text(
        (width / 2, height / 2), "\n".join(lines), fill=INK, font=font, anchor="mm", align="center"
    )
    return strip
