"""Does the motion show what the prompt says? Measurable facts of 20 training-style prompts, and pictures to look at.

python benchmarks/prompts.py [--model M] [--samples 4] [--pictures DIR] [--data DIR]

With --data the same facts are asked of captured clips that carry the same text: what a perfect model would score.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

L_HIP, R_HIP, HEAD, L_SHOULDER, R_SHOULDER, L_WRIST, R_WRIST = 1, 2, 15, 16, 17, 20, 21


@dataclass
class Facts:
    """What can be read off joints (T, 22, 3) in metres at 20 fps."""

    joints: np.ndarray
    fps: float = 20.0

    @property
    def heading(self) -> np.ndarray:
        """(T,) degrees, unwrapped; a left turn is positive."""
        left = self.joints[:, L_HIP] - self.joints[:, R_HIP]
        return np.degrees(np.unwrap(np.arctan2(-left[:, 2], left[:, 0])))

    @property
    def turn(self) -> float:
        """Degrees turned to the left, the ends averaged over a quarter of a second."""
        return float(self.heading[-5:].mean() - self.heading[:5].mean())

    @property
    def local_path(self) -> np.ndarray:
        """(T-1, 2) metres that the root moves to its own left and forward in each frame."""
        step, angle = np.diff(self.joints[:, 0], axis=0), np.radians(self.heading[:-1])
        forward = step[:, 0] * np.sin(angle) + step[:, 2] * np.cos(angle)
        left = step[:, 0] * np.cos(angle) - step[:, 2] * np.sin(angle)
        return np.stack([left, forward], axis=1)

    @property
    def forward(self) -> float:
        return float(self.local_path[:, 1].sum())

    @property
    def left(self) -> float:
        return float(self.local_path[:, 0].sum())

    @property
    def speed(self) -> float:
        """The fastest second's mean, metres a second."""
        speed = np.linalg.norm(self.local_path, axis=1) * self.fps
        window = min(len(speed), int(self.fps))
        return float(np.convolve(speed, np.ones(window) / window, "valid").max())

    def raised(self, wrist: int) -> bool:
        """The wrist comes as high as the eyes."""
        return bool((self.joints[:, wrist, 1] - self.joints[:, HEAD, 1]).max() > 0)

    def waved(self, wrist: int, shoulder: int) -> bool:
        """The wrist is over the elbows' height and moves to and fro across the body's facing at least three times."""
        above = self.joints[:, wrist, 1] > self.joints[:, shoulder, 1] - 0.15
        angle = np.radians(self.heading)
        away = self.joints[:, wrist] - self.joints[:, shoulder]
        lateral = away[:, 0] * np.cos(angle) - away[:, 2] * np.sin(angle)
        lateral = lateral[above]
        if len(lateral) < 10:
            return False
        turning, direction, last = 0, 0, lateral[0]
        for value in lateral:
            # A hand has turned round when it comes back by 4 cm.
            if direction >= 0 and value < last - 0.04 or direction <= 0 and value > last + 0.04:
                turning, direction, last = turning + 1, int(np.sign(value - last)), value
            elif direction * (value - last) > 0:
                last = value
        return turning >= 3

    @property
    def hands(self) -> str:
        return "".join(n for n, w in (("l", L_WRIST), ("r", R_WRIST)) if self.raised(w))

    @property
    def waves(self) -> str:
        pairs = (("l", L_WRIST, L_SHOULDER), ("r", R_WRIST, R_SHOULDER))
        return "".join(n for n, w, s in pairs if self.waved(w, s))

    @property
    def lowest_head(self) -> float:
        """The head's lowest height as a share of its first."""
        return float(self.joints[:, HEAD, 1].min() / self.joints[0, HEAD, 1])

    @property
    def jump(self) -> float:
        """Metres that the lower of both feet leaves the ground."""
        return float(self.joints[:, [7, 8, 10, 11], 1].min(axis=1).max())


def walks(f: Facts) -> bool:
    return f.forward > 0.5 and 0.3 < f.speed < 2.2


def runs(f: Facts) -> bool:
    return f.forward > 0.8 and f.speed > 1.5


PROMPTS: dict[str, Callable[[Facts], bool]] = {
    "a person walks forward": lambda f: walks(f) and abs(f.turn) < 45,
    "a person walks forward in an exhausted way": lambda f: walks(f) and abs(f.turn) < 45,
    "a person walks forward like an elderly person": lambda f: walks(f) and abs(f.turn) < 45,
    "a person walks forward in a feminine way": lambda f: walks(f) and abs(f.turn) < 45,
    "a person walks forward and turns left": lambda f: f.forward > 0.5 and f.turn > 30,
    "a person walks forward and turns right in a feminine way": lambda f: f.forward > 0.5 and f.turn < -30,
    "a person walks backward": lambda f: f.forward < -0.5,
    "a person walks sideways to the left": lambda f: f.left > 0.5,
    "a person runs forward": runs,
    "a person runs forward in an active way": runs,
    "a person raises the right hand": lambda f: f.hands == "r",
    "a person raises the left hand in a youthful way": lambda f: f.hands == "l",
    "a person raises both hands": lambda f: f.hands == "lr",
    "a person raises both hands in an exhausted way": lambda f: f.hands == "lr",
    "a person waves with the right hand": lambda f: f.waves == "r",
    "a person waves with the left hand in an active way": lambda f: f.waves == "l",
    "a person waves with both hands": lambda f: f.waves == "lr",
    "a person bows in an active way": lambda f: f.lowest_head < 0.9 and abs(f.forward) < 0.5,
    "walk": walks,
    "jump": lambda f: f.jump > 0.1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lamp-mini")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="write one contact sheet for each prompt")
    parser.add_argument("--data", type=Path, help="ask captured clips of the same text instead of the model")
    args = parser.parse_args()

    motions = _captured(args.data) if args.data else _generated(args)
    total = []
    for prompt, fact in PROMPTS.items():
        shown = [fact(Facts(joints)) for joints in motions.get(prompt, [])]
        total += shown
        print(f"{sum(shown):3d} of {len(shown):3d}  {prompt}")
    print(f"{sum(total):3d} of {len(total):3d}  in all ({np.mean(total):.0%})")


def _generated(args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    from lamp_fast import LampPipeline

    pipe = LampPipeline.from_pretrained(args.model)
    outputs = pipe(list(PROMPTS), num_samples=args.samples, seed=args.seed)
    if args.pictures:
        for i, prompt in enumerate(PROMPTS):
            outputs[i * args.samples].save(args.pictures / f"{i + 1:02d}-{prompt.replace(' ', '-')}.png")
    return {p: [o.joints for o in outputs[i * args.samples :][: args.samples]] for i, p in enumerate(PROMPTS)}


def _captured(folder: Path) -> dict[str, list[np.ndarray]]:
    from lamp_fast.data import open_dataset
    from lamp_fast.motion.features import features_to_joints

    motions: dict[str, list[np.ndarray]] = {}
    for split in ("train", "test"):
        dataset = open_dataset(folder, split)
        for clip in dataset.clips:
            motions.setdefault(clip.texts[0].lower(), []).append(features_to_joints(clip.features, dataset.skeleton))
    return motions


if __name__ == "__main__":
    main()
