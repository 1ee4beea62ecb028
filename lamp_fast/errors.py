"""The one exception a caller has to know."""

from collections.abc import Callable
from typing import Any


class LampError(ValueError):
    """Input that cannot be used. The message is one sentence: what was wrong, what was expected, what to do."""


def first_line(error: Exception) -> str:
    """What an error of somebody else's says, for a sentence of ours; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def call_native(function: Callable[..., Any], *arguments) -> Any:
    """What a function of the native core makes of the arguments; it refuses them with a `LampError`."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise LampError(str(error)) from error
