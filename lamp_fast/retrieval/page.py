"""Results as one HTML page that moves: previews lie inside it, and it needs nothing but a browser."""

from __future__ import annotations

import base64
import html
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..export.preview import write_gif
from ..files import new_file
from .retriever import Match, MotionIndex

SIZE = 240  # pixels
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #222 }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); gap: 1.2rem; padding: 0;
     list-style: none }
img { width: 100%; display: block; border-radius: 6px; background: #eee }
p { margin: .3rem 0; overflow-wrap: anywhere } small { color: #555 }
"""


def write_page(path: str | os.PathLike, index: MotionIndex, query: str, matches: Sequence[Match]) -> None:
    """Write the results of a search; what is seen is what the tokenizer keeps of each motion.

    query: what was searched for, as it is to be shown. Raises `LampError` where the file cannot be written.
    """
    title = html.escape(query)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    items = "\n".join(_item(i, index, match) for i, match in enumerate(matches, 1)) or "<p>nothing was found</p>"
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title><style>{_STYLE}</style></head>
<body><h1>{title}</h1>
<ol>
{items}
</ol></body></html>
"""
    with new_file(path) as file:
        file.write_text(text, encoding="utf-8", errors="replace")


def _item(rank: int, index: MotionIndex, match: Match) -> str:
    skeleton = index.retriever.lamp.skeleton
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "preview.gif"
        write_gif(
            picture, [index.preview(match)], [match.texts[0] if match.texts else ""], skeleton, skeleton.fps, SIZE
        )
        data = base64.b64encode(picture.read_bytes()).decode()
    matching = "" if match.matching is None else f", matching {match.matching:.3f}"
    told = f"score {match.score:.3f}{matching}, from {match.start:.1f} s, {match.seconds:.1f} s long"
    return (
        f'<li><img alt="preview" src="data:image/gif;base64,{data}"><p>{rank}. <b>{html.escape(match.clip)}</b></p>'
        f"<p>{html.escape(' · '.join(match.texts))}</p>"
        f"<p><small>{told}</small></p></li>"
    )
