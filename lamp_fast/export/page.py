"""One HTML page that plays motions in 3D: self-contained, so that it works offline and needs nothing but a browser.

`page.html` and `player.js` are the page; here the motions go into it. What they say, prompts above all, stays data.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby

import numpy as np

from ..errors import LampError
from ..files import new_file
from .body import build_body
from .motion import Motion

MAX_FRAMES = 200_000
"""In one page, of all its motions: about 100 MB; more than that, and browsers give up."""
REACH = 1000.0
"""Metres around the origin that a body may visit; farther off, nothing can be drawn that deserves the name."""


def write_page(path: str | os.PathLike, motions: Sequence[Motion], names: Sequence[str] | None = None) -> None:
    """Write motions side by side as one page that plays offline; arguments and errors as for `render_page`."""
    page = render_page(motions, names)
    with new_file(path) as file:
        file.write_text(page, encoding="utf-8")


def render_page(motions: Sequence[Motion], names: Sequence[str] | None = None, live: bool = False) -> str:
    """The page as text.

    Args:
        motions: each with joints (T, J, 3), metres, ground at y = 0; of any skeleton, frame rate and length.
        names: what each character is called, beside its prompt; None: by its own name or its seed.
        live: the page asks the server it comes from for motions of the prompts that are typed into it.

    Raises:
        LampError: joints that are not finite, far from the origin, or too many.
    """
    names = names or [None] * len(motions)
    frames = sum(len(motion.joints) for motion in motions)
    if frames > MAX_FRAMES:
        raise LampError(f"the motions have {frames} frames, a page holds {MAX_FRAMES}; show fewer or shorter ones")
    described = [describe(motion, name) for motion, name in zip(motions, names, strict=True)]
    folder = files("lamp_fast.export")
    page, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.html", "player.js"))
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    policy = ["default-src 'none'", "base-uri 'none'", "form-action 'none'", "img-src data:"]
    policy += [f"style-src {_hash(style)}", f"script-src {_hash(script)}"] + ["connect-src 'self'"] * live
    contents = {
        "TITLE": html.escape(", ".join(filter(None, (motion.prompt for motion in motions)))[:120] or "lamp-fast"),
        "POLICY": "; ".join(policy),
        "DATA": _embedded({"live": live, "motions": described}),
        "SCRIPT": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda name: contents[name[1]], page)


def describe(motion: Motion, name: str | None = None) -> dict:
    """What the page knows about a motion, as plain JSON values.

    points: (T, P, 3) metres, little-endian float32 in base64. prompts: [first frame, words]. contacts: of each frame, a
    bit for each of `feet`, which are joints. Raises `LampError` for joints that are not finite or far off.
    """
    joints = np.asarray(motion.joints)
    if not np.isfinite(joints).all():
        raise LampError("cannot show this motion: its joints hold NaN or infinite values; repair or drop those frames")
    if not (np.abs(joints) < REACH).all():
        raise LampError(f"cannot show this motion: it leaves the {REACH:g} m around the origin; is it in metres?")
    body = build_body(joints, motion.skeleton)
    starts = [next(group)[0] for _, group in groupby(enumerate(motion.frame_prompts), key=lambda frame: frame[1])]
    if name is None:
        name = getattr(motion, "name", "") if motion.seed is None else f"seed {motion.seed}"
    return {
        "name": name,
        "fps": float(motion.fps),
        "frames": len(joints),
        "points": base64.b64encode(body.points.astype("<f4").tobytes()).decode(),
        "parts": [list(part) for part in body.parts],
        "prompts": [[start, str(motion.frame_prompts[start])] for start in starts],
        "contacts": (np.asarray(motion.contacts, bool) @ (1 << np.arange(4))).tolist(),
        "feet": [*motion.skeleton.left_foot, *motion.skeleton.right_foot],
    }


def _embedded(value: object) -> str:
    """JSON inside a <script>: nothing in it can end that element or begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
