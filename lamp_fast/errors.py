"""The one exception a caller has to know."""


class LampError(ValueError):
    """Input that cannot be used. The message is one sentence: what was wrong, what was expected, what to do."""
