"""From motion to words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backend import find_device
from ..checkpoints.captioner import load_captioner
from ..checkpoints.folder import load_lamp
from ..config import FRAMES_PER_TOKEN
from ..errors import LampError
from ..models.captioning import CaptionOptions, CaptionWriter, LampWriter, write_captions
from ..models.lamp import Lamp
from .motion import Motion, read_features
from .output import Segment

BATCH = 64  # windows that are captioned at a time


@dataclass(frozen=True)
class Caption:
    """What a motion of `num_frames` frames shows.

    segments: one for a motion that the model reads in one piece; of a longer one the parts that say something new.
    score: mean log-probability of a word, the mean over the parts; nearer to 0 is surer.
    """

    segments: tuple[Segment, ...]
    score: float
    num_frames: int

    @property
    def text(self) -> str:
        return ", then ".join(segment.prompt for segment in self.segments)

    def __str__(self) -> str:
        return self.text


class MotionCaptioner:
    """Words from motion.

    >>> captioner = MotionCaptioner.from_pretrained("lamp-mini")
    >>> print(captioner("clip.bvh"))

    Args:
        lamp: reads the motion.
        writer: finds the words; None: LaMP's own text head.

    Raises:
        LampError: a model that reads no motions.
    """

    def __init__(self, lamp: Lamp, writer: CaptionWriter | None = None):
        lamp.require("reads_motion")
        self.lamp = lamp.eval()
        self.writer = writer or LampWriter(lamp.language_motion, lamp.text_tokenizer)

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | os.PathLike = "lamp-mini",
        captioner: str | os.PathLike | None = None,
        language_model: str | os.PathLike | None = None,
        device: str = "auto",
    ) -> MotionCaptioner:
        """Load as `LampPipeline.from_pretrained` does.

        captioner: a folder of `lamp-fast train captioner`, to find the words by a language model; language_model: the
        folder of that, where it is not the one that was trained with. Raises `LampError` as `load_lamp` and
        `load_captioner`, or for a captioner of another model.
        """
        return cls.of(load_lamp(name_or_folder, find_device(device)), captioner, language_model)

    @classmethod
    def of(
        cls,
        lamp: Lamp,
        captioner: str | os.PathLike | None = None,
        language_model: str | os.PathLike | None = None,
    ) -> MotionCaptioner:
        """As `from_pretrained`, for a model that is loaded."""
        if captioner is None and language_model is not None:
            raise LampError("a language model needs the captioner that reads motion for it; give the captioner too")
        if captioner is None:
            return cls(lamp)
        writer = load_captioner(captioner, lamp.device, language_model)
        for name in ("code_dim", "num_queries", "padding"):
            ours, theirs = (getattr(c, name) for c in (lamp.config.language_motion, writer.config.language_motion))
            if ours != theirs:
                raise LampError(f"{captioner} belongs to another model: its {name} is {theirs}, not {ours}")
        return cls(lamp, writer)

    @torch.inference_mode()
    def __call__(self, motion: Motion | Sequence[Motion], *, seed: int = 0, **options: Any) -> Caption | list[Caption]:
        """Describe motions.

        Args:
            motion: one, or a list: a motion of the pipeline, a `Clip` such as `read_motion` reads, features (T, F) in
                the data set's own units, or a motion file. What is longer than the model reads at once is cut into
                even parts.
            seed: with sample=True, another seed gives other words; the same seed gives the same words of a motion,
                whatever else is asked in the same call.
            options: of `CaptionOptions`: num_beams, length_penalty, sample, temperature, top_p.

        Returns:
            One caption for one motion, a list for a list.

        Raises:
            LampError: a file that cannot be read; features of another width, fewer than 4 frames or not finite;
                options or a seed out of range.
        """
        chosen = _options(options)
        several = isinstance(motion, (list, tuple))
        features = [read_features(m, self.lamp) for m in (motion if several else [motion])]
        if not features:
            raise LampError("there is no motion to describe; give one or more")
        windows = [(i, start, part) for i, whole in enumerate(features) for start, part in self._cut(whole)]
        texts, scores = [], []
        for first in range(0, len(windows), BATCH):
            chunk = windows[first : first + BATCH]
            latents, lengths = self.lamp.read_motions([part for _, _, part in chunk])
            samples = torch.tensor([start for _, start, _ in chunk])
            ids, score = write_captions(self.writer, latents, lengths, chosen, seed=seed, samples=samples)
            texts += self.writer.decode(ids)
            scores += score.tolist()
        captions = []
        for i, whole in enumerate(features):
            own = [n for n, (of, _, _) in enumerate(windows) if of == i]
            said = [Segment(texts[n], windows[n][1]) for n in own]
            new = [segment for n, segment in enumerate(said) if n == 0 or segment.prompt != said[n - 1].prompt]
            captions.append(Caption(tuple(new), float(np.mean([scores[n] for n in own])), len(whole)))
        return captions if several else captions[0]

    def _cut(self, features: Tensor) -> list[tuple[int, Tensor]]:
        """Even windows that the model reads in one piece, each with its first frame."""
        tokens = len(features) // FRAMES_PER_TOKEN
        parts = -(-tokens // self.lamp.max_tokens)
        edges = [FRAMES_PER_TOKEN * (tokens * i // parts) for i in range(parts + 1)]
        return [(a, features[a:b]) for a, b in zip(edges, edges[1:])]


def _options(options: dict[str, Any]) -> CaptionOptions:
    unknown = sorted(options.keys() - CaptionOptions.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(CaptionOptions.__dataclass_fields__)
        raise LampError(f"caption: there is no option {unknown[0]}; there are {known}")
    return CaptionOptions(**options)
