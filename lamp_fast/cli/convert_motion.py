"""`lamp-fast convert-motion`: a motion file into another format, edited on the way, or put on a character."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import LampError

COORDINATES = ("gltf", "unity", "unreal", "blender")


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser("convert-motion", help="motion into other formats, edited", description=__doc__)
    parser.add_argument("input", nargs="+", metavar="IN", help="motions (FILE#NAME of many); several are joined to one")
    parser.add_argument(
        "output", type=Path, metavar="OUT", help=".bvh, .glb, .npz, .csv (way of the root), .gif, .png or .html"
    )
    parser.add_argument("--fps", type=float, help="frames a second of the result; default: as they come")
    parser.add_argument("--coordinates", choices=COORDINATES, default="gltf", help="axes of .bvh, .npz and .csv")
    parser.add_argument("--channel-order", metavar="ORDER", help="Euler order of every joint of a .bvh, such as ZXY")
    parser.add_argument("--blend", type=float, metavar="PART", help="two INs at once, so much (0 to 1) of the second")
    parser.add_argument("--transition", type=float, default=0.4, metavar="SECONDS", help="mixed where INs are joined")
    parser.add_argument("--trim", type=float, nargs=2, metavar=("START", "END"), help="keep these seconds")
    parser.add_argument("--foot-lock", action="store_true", help="hold feet where they stand; tells how much it did")
    parser.add_argument("--loop", action="store_true", help="keep the best loop")
    parser.add_argument("--mirror", action="store_true", help="left and right change places")
    parser.add_argument("--in-place", action="store_true", help="on the spot, without root motion")
    parser.add_argument("--root-joint", action="store_true", help="a joint on the ground carries path and heading")
    parser.add_argument("--retarget", type=Path, metavar="CHARACTER", help="a humanoid skeleton, .bvh or .glb, to move")
    parser.add_argument("--map", type=Path, metavar="FILE", help="where the joints of IN are, if names do not tell")
    parser.add_argument("--target-map", type=Path, metavar="FILE", help="the same for CHARACTER")
    parser.add_argument("--body-model", type=Path, metavar="FOLDER", help="SMPL's .npz models, to read AMASS")
    parser.add_argument("--smpl", action="store_true", help="write SMPL poses as AMASS .npz; needs --body-model")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..export import check_output, save
    from ..export.retarget import save_retargeted
    from ..export.smpl import write_smpl
    from ..export.target import read_target
    from ..motion import editing

    check_output(args.output)
    target = read_target(args.retarget, args.target_map) if args.retarget else None
    if target and (args.coordinates != "gltf" or args.channel_order):
        raise LampError("a character keeps its own; leave --coordinates and --channel-order out")
    if args.smpl and (args.body_model is None or args.output.suffix.lower() != ".npz" or target):
        raise LampError("--smpl writes an .npz file by a --body-model of your own; give both, and no --retarget")
    clips = [_read(path, args) for path in args.input]
    clip = _blended(clips, args.blend) if args.blend is not None else editing.concatenate(clips, args.transition)
    print(f"{' + '.join(map(str, args.input))}: {clip.seconds:.2f} s, {len(clip)} frames at {clip.fps:g} a second")
    if args.trim:
        clip = editing.trim(clip, *args.trim)
    if args.foot_lock:
        clip = locked(clip)
    if args.loop:
        clip = _looped(clip)
    for wanted, edit in ((args.mirror, editing.mirror), (args.in_place, editing.in_place)):
        clip = edit(clip) if wanted else clip
    options = {"fps": args.fps}
    if args.fps and args.output.suffix.lower() not in (".bvh", ".glb"):
        clip, options = editing.resample(clip, args.fps), {}
    if args.smpl:
        write_smpl(args.output, clip, args.body_model)
    elif target:
        save_retargeted(clip, args.output, target, root_motion=args.root_joint, **options)
    else:
        save(
            clip,
            args.output,
            coordinates=args.coordinates,
            channel_order=args.channel_order,
            root_joint=args.root_joint,
            **options,
        )
    print(f"  {args.output}: {clip.seconds:.2f} s" + (f" on {args.retarget}" if target else ""))
    return 0


def _read(path: Path, args: argparse.Namespace):
    from ..readers.clip import read_clip
    from ..readers.motion import split_clip

    file, clip = split_clip(path)
    return read_clip(file, body=args.map, body_model=args.body_model, clip=clip)


def _blended(clips, part: float):
    from ..motion import editing

    if len(clips) != 2:
        raise LampError(f"--blend mixes two motions, {len(clips)} were given")
    one, other = clips
    return editing.blend(one, other if other.fps == one.fps else editing.resample(other, one.fps), part)


def locked(clip):
    """The clip with its feet held; prints what that did."""
    import numpy as np

    from ..motion.feet import foot_lock, sliding

    result = foot_lock(clip)
    feet = [*clip.skeleton.left_foot, *clip.skeleton.right_foot]
    others = [joint for joint in range(clip.skeleton.num_joints) if joint not in feet]
    moved = np.linalg.norm(result.joints - clip.joints, axis=-1)[:, others].mean()
    before, after = sliding(clip), sliding(result)
    less = f", {1 - after / before:.0%} less" if before else ""
    print(f"  feet slide {100 * before:.1f} cm/s along the ground, locked {100 * after:.1f} cm/s{less}")
    print(f"  other joints moved {100 * moved:.2f} cm on average")
    return result


def _looped(clip):
    from ..motion.editing import find_loop, loop

    found = find_loop(clip)
    start, end = found.start / clip.fps, found.end / clip.fps
    print(f"  loop from {start:.2f} s to {end:.2f} s; its ends were {100 * found.gap:.1f} cm apart, joint by joint")
    return loop(clip)
