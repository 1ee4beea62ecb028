"""The C interface as ctypes sees it: lamp_fast.h once more, field by field."""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int32,
    c_uint32,
    c_uint64,
)
from ctypes import c_void_p as pointer
from pathlib import Path

import numpy as np

LOG = CFUNCTYPE(None, c_int32, c_char_p, pointer)
PROGRESS = CFUNCTYPE(None, c_uint64, c_float, pointer)
DONE = CFUNCTYPE(None, c_uint64, c_int32, pointer)
FRAMES_FROM_PROMPT = -1


class lf_error(Structure):
    _fields_ = [("status", c_int32), ("text", c_char * 256)]


class lf_allocator(Structure):
    _fields_ = [("allocate", pointer), ("release", pointer), ("user_data", pointer)]


class lf_callbacks(Structure):
    _fields_ = [("log", LOG), ("progress", PROGRESS), ("done", DONE), ("user_data", pointer)]


class lf_model_params(Structure):
    _fields_ = [("struct_size", c_uint64), ("allocator", pointer), ("precision", c_int32), ("reserved", c_int32)]


class lf_model_info(Structure):
    _fields_ = [("struct_size", c_uint64), ("bytes", c_uint64), ("frames_per_second", c_float)] + [
        (name, c_int32)
        for name in (
            "max_frames",
            "frames_per_token",
            "condition_width",
            "embedding_width",
            "feature_width",
            "makes_motions",
            "reads_motions",
            "predicts_lengths",
            "reserved",
        )
    ]


class lf_session_params(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("allocator", pointer),
        ("arena", pointer),
        ("arena_bytes", c_uint64),
        ("callbacks", lf_callbacks),
        ("parallel_for", pointer),
        ("parallel_for_user_data", pointer),
        ("threading", c_int32),
        ("threads", c_int32),
        ("coordinates", c_int32),
        ("units_per_metre", c_float),
        ("root_mode", c_int32),
        ("skeleton", c_int32),
        ("max_requests", c_int32),
        ("max_streams", c_int32),
        ("stream_seconds", c_float),
        ("reserved", c_int32),
    ]


class lf_joint(Structure):
    _fields_ = [("struct_size", c_uint64), ("name", c_char * 32), ("parent", c_int32), ("rest", c_float * 3)]


class lf_stats(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("bytes", c_uint64),
        ("requests_done", c_uint64),
        ("requests_failed", c_uint64),
        ("microseconds_last", c_uint64),
        ("microseconds_longest", c_uint64),
        ("requests_waiting", c_int32),
        ("threads", c_int32),
        ("instructions", c_char * 24),
    ]


class lf_generate_params(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("prompt", c_char_p),
        ("condition", pointer),
        ("frames", c_int32),
        ("steps", c_int32),
        ("guidance", c_float),
        ("temperature", c_float),
        ("top_k", c_int32),
        ("before_frames", c_int32),
        ("before", pointer),
        ("after", pointer),
        ("after_frames", c_int32),
        ("reserved", c_int32),
        ("seed", c_uint64),
        ("deadline_microseconds", c_uint64),
    ]


class lf_motion(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("frame_capacity", c_int32),
        ("frames", c_int32),
        ("positions", pointer),
        ("rotations", pointer),
        ("root_positions", pointer),
        ("root_rotations", pointer),
        ("contacts", pointer),
        ("features", pointer),
        ("tokens", pointer),
    ]


class lf_stream_params(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("position", c_float * 3),
        ("heading", c_float),
        ("blend_frames", c_int32),
        ("idle_seconds", c_float),
    ]


class lf_stream_info(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("frames_committed", c_uint64),
        ("seconds_left", c_double),
        ("frames_free", c_int32),
        ("segments_waiting", c_int32),
        ("samples", c_uint64),
        ("underruns", c_uint64),
    ]


class lf_pose(Structure):
    _fields_ = [
        ("struct_size", c_uint64),
        ("positions", pointer),
        ("rotations", pointer),
        ("frame", c_double),
        ("root_position", c_float * 3),
        ("root_rotation", c_float * 4),
        ("root_step", c_float * 3),
        ("root_turn", c_float),
        ("contacts", c_float * 4),
        ("segment", c_uint32),
    ]


STRUCTS = [
    lf_error,
    lf_allocator,
    lf_callbacks,
    lf_model_params,
    lf_model_info,
    lf_session_params,
    lf_joint,
    lf_stats,
    lf_generate_params,
    lf_motion,
    lf_stream_params,
    lf_stream_info,
    lf_pose,
]


def sized(struct: type[Structure], **values):
    return struct(struct_size=ctypes.sizeof(struct), **values)


class Library:
    """The functions with their arguments, each call checked: what fails raises `RuntimeError` with its sentence."""

    def __init__(self, path: Path):
        self.c = ctypes.CDLL(str(path))
        for name in ("lf_version", "lf_status_string"):
            getattr(self.c, name).restype = c_char_p
        self.c.lf_model_load.argtypes = [c_char_p, pointer, POINTER(pointer), POINTER(lf_error)]
        self.c.lf_model_release.argtypes = [pointer]
        self.c.lf_session_destroy.argtypes = [pointer]
        self.c.lf_session_pump.argtypes = [pointer, c_uint64]
        self.c.lf_session_joint_count.argtypes = [pointer]
        self.c.lf_stream_get_info.argtypes = [pointer, POINTER(lf_stream_info)]
        self.c.lf_stream_sample.argtypes = [pointer, c_double, POINTER(lf_pose)]

    def check(self, name: str, *arguments) -> None:
        error = lf_error()
        if getattr(self.c, name)(*arguments, byref(error)) != 0:
            raise RuntimeError(error.text.decode())

    def params(self, struct: type[Structure], **values):
        result = struct()
        getattr(self.c, struct.__name__ + "_init")(byref(result))
        for name, value in values.items():
            setattr(result, name, value)
        return result


class Session:
    def __init__(self, library: Library, path: Path, precision: int = 0, **params):
        self.library = library
        self.model, self.handle = pointer(), pointer()
        chosen = library.params(lf_model_params, precision=precision)
        library.check("lf_model_load", str(path).encode(), byref(chosen), byref(self.model))
        self.info = sized(lf_model_info)
        library.check("lf_model_get_info", self.model, byref(self.info))
        self.params = library.params(lf_session_params, **params)
        library.check("lf_session_create", self.model, byref(self.params), byref(self.handle))
        self.num_joints = library.c.lf_session_joint_count(self.handle)

    def close(self) -> None:
        self.library.c.lf_session_destroy(self.handle)
        self.library.c.lf_model_release(self.model)

    def joints(self) -> list[tuple[str, int, np.ndarray]]:
        joint, result = sized(lf_joint), []
        for i in range(self.num_joints):
            self.library.check("lf_session_joint", self.handle, i, byref(joint))
            result.append((joint.name.decode(), joint.parent, np.array(joint.rest)))
        return result

    def numbers(self, name: str, width: int, *arguments) -> np.ndarray:
        """Of the functions that write an array: lf_encode_prompt, lf_embed_text, lf_embed_motion."""
        result = np.zeros(width, np.float32)
        self.library.check(name, self.handle, *arguments, pointer(result.ctypes.data))
        return result

    def request(self, prompt: str, frames: int, before=None, after=None, **values) -> lf_generate_params:
        params = self.library.params(lf_generate_params, prompt=prompt.encode(), frames=frames, **values)
        for name, kept in (("before", before), ("after", after)):
            if kept is not None:
                kept = np.ascontiguousarray(kept, np.float32)
                setattr(params, name, kept.ctypes.data)
                setattr(params, f"{name}_frames", len(kept))
                setattr(params, f"_{name}", kept)  # stays as long as the params
        return params

    def generate(self, prompt: str, frames: int, **values) -> dict[str, np.ndarray]:
        capacity = self.info.max_frames
        shapes = {
            "positions": (capacity, self.num_joints, 3),
            "rotations": (capacity, self.num_joints, 4),
            "root_positions": (capacity, 3),
            "root_rotations": (capacity, 4),
            "contacts": (capacity, 4),
            "features": (capacity, self.info.feature_width),
        }
        arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        tokens = np.zeros(capacity // self.info.frames_per_token, np.int32)
        motion = sized(lf_motion, frame_capacity=capacity, tokens=tokens.ctypes.data)
        for name, array in arrays.items():
            setattr(motion, name, array.ctypes.data)
        self.library.check("lf_generate", self.handle, byref(self.request(prompt, frames, **values)), byref(motion))
        count = -(-motion.frames // self.info.frames_per_token)
        return {name: array[: motion.frames] for name, array in arrays.items()} | {"tokens": tokens[:count]}
