"""From words to motion."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..backend import find_device
from ..checkpoints.folder import load_lamp
from ..config import FRAMES_PER_TOKEN
from ..engine import LampEngine
from ..errors import LampError
from ..models.decoding import DecodingOptions
from ..models.lamp import Lamp
from ..ranges import named
from .motion_to_text import Caption, Motion, MotionCaptioner
from .output import MotionOutput, Segment
from .request import Limits, Prompts, SegmentRequest, parse
from .tracks import Track, draw_tracks

# The decoder takes what lies outside a motion as zeros, which jerks its first and last frames. So the first and last
# token are decoded so many times more, and those frames are cut off.
EDGE_TOKENS = 2


class LampPipeline:
    """Motion from words.

    >>> pipe = LampPipeline.from_pretrained("lamp-mini")
    >>> pipe("a person waves with the left hand", seconds=4, seed=0).save("wave.bvh")
    """

    def __init__(self, lamp: Lamp, **engine_options: Any):
        self.engine = LampEngine(lamp, **engine_options)
        self.lamp = self.engine.lamp

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | os.PathLike = "lamp-mini", device: str = "auto", **engine_options: Any
    ) -> LampPipeline:
        """Load a bundled model by its name, any model from its folder, or `owner/name` of the Hugging Face Hub.

        device: a torch device, or "auto": the GPU if there is one, else the CPU. engine_options: see `LampEngine`, such
        as dtype=torch.bfloat16. Raises `LampError` for a device that is not there and for whatever is wrong with the
        model (see `checkpoints.folder.load_lamp`).
        """
        return cls(load_lamp(name_or_folder, find_device(device)), **engine_options)

    @torch.inference_mode()
    def __call__(
        self,
        prompt: Prompts,
        seconds: float | None = None,
        *,
        num_samples: int = 1,
        seed: int = 0,
        num_inference_steps: int = 10,
        guidance_scale: float = 4.0,
        split_on_then: bool = False,
    ) -> MotionOutput | list[MotionOutput]:
        """Generate motions.

        Args:
            prompt: a text; a list of texts, one motion each; or a list of (text, seconds), which is one continuous
                motion, its transitions in-painted between known tokens. English.
            seconds: how long each motion lasts, to the nearest token (4 frames); None predicts it from the words.
            num_samples: motions for each prompt.
            seed: the same seed gives the same motion of a prompt, whatever else is asked in the same call.
            num_inference_steps: how often the tokens are drawn again, keeping the surest.
            guidance_scale: how strongly the words steer; 1 is without guidance.
            split_on_then: read "…, then …" as one continuous motion of several segments, which share `seconds` evenly.

        Returns:
            One motion for a text or a list of (text, seconds), and one sample; else a list, all samples of the first
            prompt first.

        Raises:
            LampError: a prompt that is empty, too long or without a known word; seconds that are not above 0 or longer
                than a segment can be; num_samples, num_inference_steps, guidance_scale or seed out of range.
        """
        whole = {"num_samples": num_samples, "num_inference_steps": num_inference_steps, "seed": seed}
        for name, value in whole.items():
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise LampError(f"{name} is {value!r}, expected a whole number")
        if num_samples < 1:
            raise LampError(f"num_samples is {num_samples}, expected at least 1")
        if not isinstance(guidance_scale, Real):
            raise LampError(f"guidance_scale is {guidance_scale!r}, expected a number; 1 is without guidance")
        options = DecodingOptions(num_inference_steps, guidance_scale)
        limits = Limits(self.lamp.config.generator.max_tokens, self.lamp.seconds_per_token)
        requests, several = parse(prompt, seconds, limits, split_on_then)

        timings: dict[str, float] = {}
        with self._timed("text", timings):
            conditions, lengths = self._read(requests)
        with self._timed("tokens", timings):
            tracks = [
                Track(condition, segment_lengths, sample)
                for condition, segment_lengths in zip(conditions, lengths, strict=True)
                for sample in range(num_samples)
            ]
            draw_tracks(self.engine, tracks, options, seed)
        with self._timed("features", timings):
            features = self._decode(tracks)
        outputs = [
            MotionOutput(
                features=features[i],
                tokens=track.tokens.cpu().numpy(),
                segments=_segments(requests[i // num_samples], track.lengths),
                seed=seed,
                skeleton=self.lamp.skeleton,
                timings=timings,
            )
            for i, track in enumerate(tracks)
        ]
        with self._timed("joints", timings):
            for output in outputs:
                _ = output.joints
        return outputs if several or num_samples > 1 else outputs[0]

    def caption(self, motion: Motion | Sequence[Motion], **options: Any) -> Caption | list[Caption]:
        """Describe motions by LaMP's own text head; arguments, result and errors as `MotionCaptioner`."""
        return self._captioner(motion, **options)

    @cached_property
    def _captioner(self) -> MotionCaptioner:
        return MotionCaptioner(self.lamp)

    def _read(self, requests: list[list[SegmentRequest]]) -> tuple[list[Tensor], list[list[int]]]:
        """-> for every motion the conditions (segments, D) and the lengths of its segments in tokens."""
        segments = [segment for request in requests for segment in request]
        condition = self.engine.condition([segment.prompt for segment in segments])
        lengths = [segment.num_tokens for segment in segments]
        if None in lengths:
            self.lamp.require("length")
            predicted = self.lamp.length.predict(condition).tolist()
            lengths = [p if n is None else n for n, p in zip(lengths, predicted, strict=True)]
        counts = [len(request) for request in requests]
        ends = accumulate(counts)
        return list(condition.split(counts)), [lengths[end - n : end] for n, end in zip(counts, ends, strict=True)]

    def _decode(self, tracks: list[Track]) -> list[np.ndarray]:
        """-> features (T, F) of every track."""
        extended = [
            torch.cat([tokens[:1].expand(EDGE_TOKENS), tokens, tokens[-1:].expand(EDGE_TOKENS)])
            for tokens in (track.tokens for track in tracks)
        ]
        features, _ = self.engine.decode(pad_sequence(extended, batch_first=True), [len(tokens) for tokens in extended])
        edge = EDGE_TOKENS * FRAMES_PER_TOKEN
        return [
            motion[edge : FRAMES_PER_TOKEN * len(tokens) - edge]
            for motion, tokens in zip(features.cpu().numpy(), extended, strict=True)
        ]

    @contextmanager
    def _timed(self, stage: str, timings: dict[str, float]) -> Iterator[None]:
        """Add the seconds of the block, the GPU's work included, to `timings`."""
        start = time.perf_counter()
        with named(stage):
            yield
            if self.lamp.device.type == "cuda":
                torch.cuda.synchronize(self.lamp.device)
        timings[stage] = time.perf_counter() - start


def _segments(request: list[SegmentRequest], lengths: list[int]) -> tuple[Segment, ...]:
    starts = accumulate(lengths[:-1], initial=0)
    return tuple(Segment(part.prompt, start * FRAMES_PER_TOKEN) for part, start in zip(request, starts, strict=True))
