"""What papers report, to stand beside what is measured.

LaMP's own figures and those of the others are taken from later papers that quote them and agree with each other; what
is known from memory only is left out. LaMP-R-precision is from a reading note of LaMP's Table 2.
"""

from __future__ import annotations

GENERATION_COLUMNS = ("Top1", "Top2", "Top3", "FID", "MM-Dist", "Diversity", "MModality")
CAPTIONING_COLUMNS = ("R@1", "R@3", "BLEU@1", "BLEU@4", "ROUGE-L", "CIDEr", "BertScore")
LAMP_PRECISION = "LaMP Top1"

_ = None

GENERATION: dict[str, dict[str, tuple[float | None, ...]]] = {
    "humanml3d": {
        "Real": (0.511, 0.703, 0.797, 0.002, 2.974, 9.503, _),
        "MDM": (_, _, 0.611, 0.544, 5.566, 9.559, 2.799),
        "T2M-GPT": (0.492, 0.679, 0.775, 0.141, 3.121, 9.722, 1.856),
        "ReMoDiffuse": (0.510, 0.698, 0.795, 0.103, 2.974, 9.018, 1.795),
        "MoMask": (0.521, 0.713, 0.807, 0.045, 2.958, 9.620, _),
        "MoGenTS": (0.529, 0.719, 0.812, 0.033, 2.867, 9.570, _),
        "LaMP-T2M": (0.557, 0.751, 0.843, 0.032, 2.759, 9.571, 2.794),
    },
    "kit": {
        "Real": (0.424, 0.649, 0.779, 0.031, 2.788, 11.080, _),
        "T2M-GPT": (0.416, 0.627, 0.745, 0.514, 3.007, 10.860, 1.798),
        "ReMoDiffuse": (0.427, 0.641, 0.765, 0.155, 2.814, 10.800, 1.239),
        "MoMask": (0.433, 0.656, 0.781, 0.204, 2.779, 10.203, 1.131),
        "MoGenTS": (0.445, 0.671, 0.797, 0.143, 2.711, 10.918, _),
        "LaMP-T2M": (0.479, 0.691, 0.826, 0.141, 2.704, 10.929, 1.973),
    },
}
LAMP_PRECISIONS = {"humanml3d": {"T2M-GPT": 0.808, "MoMask": 0.784, "LaMP-T2M": 0.867}, "kit": {"LaMP-T2M": 0.784}}
CAPTIONING: dict[str, dict[str, tuple[float | None, ...]]] = {
    "humanml3d": {
        "Real": (0.523, 0.828, _, _, _, _, _),
        "TM2T": (0.516, 0.823, 48.9, 7.0, 38.1, 16.8, 32.2),
        "MotionGPT": (0.543, 0.827, 48.2, 12.5, 37.4, 29.2, 32.4),
        "LaMP-M2T": (0.547, 0.831, 47.8, 13.0, 37.1, 28.9, _),
    },
    "kit": {},
}

# Of text and motion among 32. Which way LaMP's figure for HumanML3D goes, its sources do not agree on.
RETRIEVAL: dict[str, dict[str, dict[str, float]]] = {
    "humanml3d": {"LaMP, batches of 32, one way": {"R@1": 67.18}},
    "kit": {"LaMP, batches of 32, motion to text": {"R@1": 54.0, "R@3": 84.4}},
}


def generation_rows(dataset: str) -> dict[str, dict[str, float]]:
    """Of "humanml3d" or "kit": figures by method and column."""
    rows = _rows(GENERATION[dataset], GENERATION_COLUMNS)
    for method, value in LAMP_PRECISIONS[dataset].items():
        rows[method][LAMP_PRECISION] = value
    return rows


def captioning_rows(dataset: str) -> dict[str, dict[str, float]]:
    """As `generation_rows`. No captioning figures for KIT-ML are known."""
    return _rows(CAPTIONING[dataset], CAPTIONING_COLUMNS)


def retrieval_rows(dataset: str) -> dict[str, dict[str, float]]:
    """As `generation_rows`, in percent."""
    return RETRIEVAL[dataset]


def _rows(table: dict[str, tuple[float | None, ...]], columns: tuple[str, ...]) -> dict[str, dict[str, float]]:
    return {name: {c: v for c, v in zip(columns, row) if v is not None} for name, row in table.items()}
