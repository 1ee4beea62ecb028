"""Models made ready to run fast."""
