"""Do captions of the Bandai-Namco clips name what is done, and on which side?

    python benchmarks/captions.py --data DATA [--split test] [--model lamp-mini] [--captioner FOLDER] [--num-beams 5]

What a text says is told by words: of the caption as of the clip's own text, which was made from its label.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter

from lamp_fast import MotionCaptioner
from lamp_fast.data import open_dataset
from lamp_fast.metrics.captions import caption_scores

# The first that matches counts.
CONTENTS = {
    "goodbye": r"goodbye",
    "guide": r"guid",
    "respond": r"respond",
    "wave": r"wav",
    "raise": r"rais|lift|puts? up",
    "bow": r"\bbow",
    "turn": r"turn",
    "dash": r"dash|sprint",
    "run": r"\brun|jog",
    "walk backward": r"(walk|stroll).* back",
    "walk sideways": r"(walk|stroll).* sideways",
    "walk": r"walk|stroll",
}
SIDES = {"both": r"\bboth|two hands|\b(his|her) (hands|arms)", "left": r"\bleft\b", "right": r"\bright\b"}


def told(text: str, kinds: dict[str, str]) -> str | None:
    return next((kind for kind, pattern in kinds.items() if re.search(pattern, text.lower())), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="lamp-mini")
    parser.add_argument("--captioner")
    parser.add_argument("--num-beams", type=int, default=5)
    parser.add_argument("--sample", action="store_true")
    args = parser.parse_args()

    clips = open_dataset(args.data, args.split).clips
    captioner = MotionCaptioner.from_pretrained(args.model, args.captioner)
    made = captioner([clip.features for clip in clips], num_beams=args.num_beams, sample=args.sample)
    made = [caption.text for caption in made]
    scores = caption_scores(made, [clip.texts for clip in clips])
    print(f"{len(clips)} clips: " + ", ".join(f"{name} {value:.1f}" for name, value in scores.items()))

    pairs = [(clip.texts[0], text) for clip, text in zip(clips, made) if clip.id.startswith("bn_")]
    for name, kinds in (("content", CONTENTS), ("side", SIDES)):
        asked = [(told(own, kinds), told(text, kinds)) for own, text in pairs]
        asked = [(own, said) for own, said in asked if own is not None]
        right = sum(own == said for own, said in asked)
        print(f"right {name}: {right} of {len(asked)} Bandai-Namco clips, {100 * right / max(len(asked), 1):.1f} %")
        for (own, said), count in Counter(pair for pair in asked if pair[0] != pair[1]).most_common():
            print(f"  {count} x {own}, said: {said}")


if __name__ == "__main__":
    main()
