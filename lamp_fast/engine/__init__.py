"""Models made ready to run fast."""

from .engine import LampEngine, Motions

__all__ = ["LampEngine", "Motions"]
