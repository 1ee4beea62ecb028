"""Run by a Python that has bpy: import motion files as Blender's users do, and write where their joints are.

python play.py OUT.npz FILE...          frames of every file: `NAME` (T, K, 3) metres and `NAME.joints` (K,)
python play.py --picture OUT.png FILE   frame 20, seen from the front, by Cycles on the CPU
"""

import sys
from math import radians
from pathlib import Path

import bpy
import numpy as np

FPS = 20


def load(file: Path) -> "bpy.types.Object":
    """An empty scene with the file in it, imported with the settings that docs/motion.md names; its armature."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = FPS
    if file.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(file), global_scale=0.01, axis_forward="-Z", axis_up="Y")
    else:
        bpy.ops.import_scene.gltf(filepath=str(file))
    (armature,) = (thing for thing in bpy.data.objects if thing.type == "ARMATURE")
    return armature


def joints(armature) -> tuple[list[str], np.ndarray]:
    """Names, and world positions (T, K, 3), of the heads of all bones in every frame of the action."""
    first, last = (round(frame) for frame in armature.animation_data.action.frame_range)
    frames = []
    for frame in range(first, last + 1):
        bpy.context.scene.frame_set(frame)
        frames.append([tuple((armature.matrix_world @ bone.matrix).to_translation()) for bone in armature.pose.bones])
    return [bone.name for bone in armature.pose.bones], np.array(frames)


def picture(file: Path, output: Path) -> None:
    load(file)
    scene = bpy.context.scene
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    camera.location, camera.rotation_euler = (0, -4.5, 1.1), (radians(88), 0, 0)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 4, (radians(50), 0, radians(30))
    for thing in (camera, sun):
        scene.collection.objects.link(thing)
    scene.camera = camera
    scene.world = bpy.data.worlds.new("world")
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 8, "CPU"
    scene.render.resolution_x, scene.render.resolution_y = 240, 320
    scene.frame_set(20)
    scene.render.filepath = str(output)
    bpy.ops.render.render(write_still=True)


def main(arguments: list[str]) -> None:
    if arguments[0] == "--picture":
        return picture(Path(arguments[2]), Path(arguments[1]))
    found = {}
    for file in map(Path, arguments[1:]):
        names, places = joints(load(file))
        found |= {file.name: places, f"{file.name}.joints": np.array(names)}
    np.savez(arguments[0], **found)


main(sys.argv[1:])
