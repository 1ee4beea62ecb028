"""Which clips make a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from ..data.encoded import EncodedClip

T = TypeVar("T")


class TextBalancedSampler:
    """Draws clips so that a text with n clips comes up in proportion to sqrt(n).

    Captured data repeats a few texts a hundred times and says most others once: drawing clips evenly would show the
    few alone, drawing texts evenly would show each rare clip a hundred times as often.
    """

    def __init__(self, clips: list[EncodedClip]):
        self.groups: dict[str, list[int]] = {}
        for index, clip in enumerate(clips):
            self.groups.setdefault(clip.texts[0], []).append(index)
        self.members = list(self.groups.values())
        self.weights = torch.tensor([len(m) for m in self.members]).double().sqrt()

    def draw(self, size: int, draw: torch.Generator, *, distinct: bool) -> list[int]:
        """Indices of `size` clips; with `distinct`, of different texts as long as there are enough."""
        replacement = not distinct or size > len(self.members)
        groups = torch.multinomial(self.weights, size, replacement=replacement, generator=draw)
        picks = torch.rand(size, generator=draw)
        return [
            self.members[g][int(p * len(self.members[g]))] for g, p in zip(groups.tolist(), picks.tolist(), strict=True)
        ]


def pick_texts(clips: list[EncodedClip], draw: torch.Generator) -> list[str]:
    """One of each clip's texts."""
    return [pick(clip.texts, draw) for clip in clips]


def pick(choices: Sequence[T], draw: torch.Generator) -> T:
    """One of several, each as likely."""
    return choices[int(torch.randint(len(choices), (), generator=draw))]
