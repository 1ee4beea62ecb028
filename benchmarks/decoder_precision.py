"""What decoding in bfloat16 and in int8 costs on the native core: a data set's clips, as tokens, against float32.

    python benchmarks/decoder_precision.py --data DATA [--split test] [--model lamp-mini]

joints, aligned: mean distance of the joints, the pelvis of both in one place; joints: as they stand. jerk, skating:
means over the clips.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.config import FRAMES_PER_TOKEN
from lamp_fast.data import open_dataset
from lamp_fast.engine import LampEngine
from lamp_fast.metrics.physics import foot_skating, jerk


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="lamp-mini")
    args = parser.parse_args()

    lamp = load_lamp(args.model)
    limit = FRAMES_PER_TOKEN * lamp.max_tokens
    clips = [torch.from_numpy(clip.features[:limit]) for clip in open_dataset(args.data, args.split).clips]
    tokens = [lamp.encode(features[None]) for features in clips if len(features) >= FRAMES_PER_TOKEN]
    ways = {"float32": {}, "bfloat16": {"dtype": torch.bfloat16}, "int8": {"weights": "int8"}}
    joints = {}
    for name, options in ways.items():
        engine = LampEngine(lamp, **options)
        if engine.native_reason:
            raise SystemExit(f"the native core does not run: {engine.native_reason}")
        joints[name] = [engine.decode(ids, [ids.shape[1]])[1][0] for ids in tokens]
    exact = joints.pop("float32")
    fps = lamp.skeleton.fps

    def mean(measure, motions) -> float:
        return float(np.mean([float(measure(motion)) for motion in motions]))

    print(f"{len(tokens)} clips of {args.split}")
    for name, motions in joints.items():
        apart = [a - b for a, b in zip(motions, exact)]
        aligned = 1000 * mean(lambda x: (x - x[:, :1]).norm(dim=-1).mean(), apart)
        standing = 1000 * mean(lambda x: x.norm(dim=-1).mean(), apart)
        jerks = mean(lambda x: jerk(x, fps), motions) / mean(lambda x: jerk(x, fps), exact)
        skating = [100 * mean(lambda x: foot_skating(x, lamp.skeleton), some) for some in (exact, motions)]
        print(
            f"  {name:9} joints, aligned {aligned:.2f} mm, joints {standing:.2f} mm, jerk {100 * (jerks - 1):+.1f} %, "
            f"skating {skating[0]:.1f} -> {skating[1]:.1f} %"
        )


if __name__ == "__main__":
    main()
