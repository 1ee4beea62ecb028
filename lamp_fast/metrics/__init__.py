"""Measures of motion quality and retrieval."""
