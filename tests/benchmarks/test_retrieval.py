"""Texts found, counted by where their motions come from."""

import numpy as np


def test_found_of(benchmark_script):
    retrieval = benchmark_script("retrieval")
    scores = np.array([[3, 1, 2], [1, 3, 2], [2, 1, 2], [0, 0, 1]])
    relevant = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]], bool)
    sources = np.array(["cmu", "bn", "bn", ""])
    told = [retrieval.found_of(source, scores, relevant, sources) for source in ("cmu", "bn", "")]
    assert told == ["1 of 1 cmu", "0 of 2 bn", "1 of 1"]  # a tie counts against
