"""The pictures of docs/motion.md: a generated motion, written in each format and shown by a program that reads it.

npm install --prefix tests/browser      # three.js
python docs/pictures/make.py            # needs Chromium, too
"""

from __future__ import annotations

import csv
import functools
import http.server
import math
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

from PIL import Image, ImageDraw

from lamp_fast import LampPipeline
from lamp_fast.export import save
from lamp_fast.motion.feet import foot_lock
from lamp_fast.readers.clip import read_clip

HERE = Path(__file__).resolve().parent
BROWSER = HERE.parents[1] / "tests/browser"
PROMPT = "a person walks forward, then waves with the right hand"
SIZE = 360, 320
GREY, BLUE, ORANGE = (244, 244, 242), (34, 107, 190), (211, 84, 41)


def main() -> None:
    clip = foot_lock(LampPipeline.from_pretrained("lamp-mini")(PROMPT, 3.0, seed=3, split_on_then=True).clip)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for suffix in (".glb", ".bvh", ".npz", ".csv", ".html", ".png"):
            save(clip, work / f"wave{suffix}")
        for name in ("play.html", "node_modules"):
            (work / name).symlink_to(BROWSER / name)
        with serving(work) as address:
            for suffix in ("glb", "bvh"):
                screenshot(f"{address}/play.html?file=wave.{suffix}&time=4.5&azimuth=20", HERE / f"{suffix}.png")
            screenshot(f"{address}/wave.html", HERE / "html.png", (720, 480))
        save(read_clip(work / "wave.npz"), work / "npz.png")
        small(Image.open(work / "npz.png"), HERE / "npz.png")
        way(work / "wave.csv", HERE / "csv.png")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass


class serving:
    """A folder on a port of this machine."""

    def __init__(self, folder: Path):
        handler = functools.partial(QuietHandler, directory=folder)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def __enter__(self) -> str:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_) -> None:
        self.server.shutdown()


def screenshot(address: str, output: Path, size: tuple[int, int] = SIZE) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        command += ["--hide-scrollbars", f"--window-size={size[0]},{size[1] + 88}", "--virtual-time-budget=8000"]
        command += [f"--user-data-dir={profile}", f"--screenshot={profile}/shot.png", address]
        subprocess.run(command, capture_output=True, timeout=180, check=True)
        small(Image.open(f"{profile}/shot.png").crop((0, 0, *size)), output)


def way(table: Path, output: Path) -> None:
    """The root's path seen from above, an arrow for its heading every half second."""
    with table.open() as stream:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]
    picture = Image.new("RGB", SIZE, GREY)
    draw = ImageDraw.Draw(picture)
    xs, zs = [row["x"] for row in rows], [row["z"] for row in rows]
    scale = 0.7 * min(SIZE) / max(max(xs) - min(xs), max(zs) - min(zs), 1.0)
    middle = (max(xs) + min(xs)) / 2, (max(zs) + min(zs)) / 2

    def at(x: float, z: float) -> tuple[float, float]:
        return SIZE[0] / 2 + (x - middle[0]) * scale, SIZE[1] / 2 - (z - middle[1]) * scale

    draw.line([at(x, z) for x, z in zip(xs, zs)], fill=BLUE, width=3)
    for row in rows[::10]:
        x, z = at(row["x"], row["z"])
        dx, dz = math.sin(math.radians(row["yaw"])), math.cos(math.radians(row["yaw"]))
        draw.line([(x, z), (x + 22 * dx, z - 22 * dz)], fill=ORANGE, width=2)
        draw.ellipse([x - 3, z - 3, x + 3, z + 3], fill=ORANGE)
    small(picture, output)


def small(picture: Image.Image, output: Path) -> None:
    picture.convert("RGB").quantize(64).save(output, optimize=True)
    print(f"{output.relative_to(HERE.parents[1])}: {output.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
