"""Released files -> one of our model folders, with an account of every tensor."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ...config import AttentionMode, LampConfig, Padding, TokenizerConfig
from ...errors import LampError
from ...files import new_folder
from ...models.generator import MotionGenerator
from ...models.lamp import Lamp
from ...models.language_motion import LanguageMotionModel
from ...models.text import TextTokenizer
from ...models.tokenizer import MotionEncoder, MotionTokenizer
from ...motion.skeleton import SKELETONS
from ..evaluator import FILES, Evaluator, save_evaluator
from ..folder import MODELS, PARTS, VOCABULARY, check_replaceable, load_model, save_lamp, save_model
from . import captioner, evaluator, generator, language_motion, length_estimator, tokenizer
from .files import KINDS, Found, describe, read_released, recognise
from .statistics import read_statistics, with_bias
from .words import read_words

HEAD_WIDTH = 64  # of both released transformers: a file does not show its number of heads

_DROPPED = {
    r"position_enc\.pe$": "computed, not learned",
    r"clip2qformer\.": "never used by the release",
    r"Qformer\.cls\.predictions\.decoder\.|.*position_ids$": "repeats other tensors",
    r"(.*\.)?quantizer\.(?!codebook$)": "state of training",
}


@dataclass(frozen=True)
class Options:
    """What released files do not show, or what is wanted otherwise than released.

    language_motion_heads, generator_heads: None takes heads of 64 channels, as released. language_model_heads: of the
    OPT in LaMP-M2T.
    """

    language_motion_heads: int | None = None
    generator_heads: int | None = None
    language_model_heads: int = 32
    padding: Padding = "released"
    attention_mode: AttentionMode = "soft_causal"


@dataclass
class Account:
    """What became of the tensors of one file; names are the release's, those of `missing` are ours."""

    file: Path
    kind: str
    used: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    left_over: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Conversion:
    """accounts of the files; parts: what was written; lacking: what a complete model would need besides."""

    accounts: list[Account]
    parts: list[str]
    lacking: list[str]


def convert_released(
    files: Sequence[str | os.PathLike],
    destination: str | os.PathLike,
    *,
    vocabulary: str | os.PathLike | None = None,
    statistics: str | os.PathLike | None = None,
    words: str | os.PathLike | None = None,
    language_model: str | os.PathLike | None = None,
    options: Options = Options(),
) -> Conversion:
    """Recognise released files by what is in them, and write what they make.

    A tokenizer, a language-motion model, a vocabulary and statistics make a model that `load_lamp` opens, with a
    generator or without; an evaluator with statistics and words is one for `load_evaluator`. Anything else is written
    in parts, which `load_model` opens: one part as the folder itself, several as folders in it. Such folders may stand
    among `files` later.

    Args:
        files: checkpoints (torch.save or safetensors), or folders that `save_model` wrote.
        vocabulary: vocab.txt of bert-base-uncased; None looks for it beside the files and in `bert` there.
        statistics: a folder with Mean.npy and Std.npy, or mean.npy and std.npy; None looks beside the files, in `meta`.
        words: the folder `glove` of the release, for an evaluator; None looks beside the files.
        language_model: a folder with the tokenizer of OPT, for a captioner; None looks in `opt2.7b` beside it.

    Raises:
        LampError: a file that cannot be read or is not known; two of one kind; files of different models.
    """
    if not files:
        raise LampError("there is nothing to convert; give released checkpoints")
    files = [Path(file) for file in files]
    accounts, models, found = [], {}, {}
    for file in files:
        account, known = _open(file)
        if account.kind in found or account.kind in models:
            raise LampError(f"{file} is a second {account.kind}; give one file of each kind")
        accounts.append(account)
        (models if isinstance(known, nn.Module) else found)[account.kind] = known
    by_kind = {account.kind: account for account in accounts}

    if "captioner" in found:
        if len(files) > 1:
            raise LampError("a captioner is a folder of its own; convert it by itself")
        language_model = language_model or files[0].parent / "opt2.7b"
        with _explained(files):
            _convert_captioner(accounts[0], found["captioner"].tensors, Path(destination), language_model, options)
        return Conversion(accounts, ["captioner", "language_model"], [])
    with _explained(files):
        models = _Builder(found, by_kind, models, options).build()
    if "evaluator" in models and len(models) > 1:
        raise LampError("an evaluator has statistics of its own; convert it by itself")
    vocabulary = vocabulary or _beside(files, VOCABULARY, f"bert/{VOCABULARY}")
    statistics = statistics or _beside(files, "mean.npy", "Mean.npy", "meta/mean.npy", "meta/Mean.npy", parent=True)
    words = words or _beside(files, "our_vab_idx.pkl", "glove/our_vab_idx.pkl", parent=True)
    lacking = [name for name, there in _needs(models, vocabulary, statistics, words).items() if not there]
    destination = Path(destination)
    if lacking or models.keys() == {"length_estimator"}:
        _save_parts(destination, models)
    elif "evaluator" in models:
        parts = Evaluator(models["evaluator"], *read_statistics(statistics), *read_words(words))
        check_replaceable(destination, FILES)
        with new_folder(destination) as partial:
            save_evaluator(partial, parts)
    else:
        save_lamp(destination, _lamp(models, TextTokenizer(vocabulary), *read_statistics(statistics)))
        if "length_estimator" in models:  # no part of LaMP: it reads features of CLIP
            save_model(destination / "length_estimator", models["length_estimator"])
    return Conversion(accounts, list(models), lacking)


def _needs(models: dict[str, nn.Module], vocabulary: object, statistics: object, words: object) -> dict[str, object]:
    """What whole models are made of, and whether it is there."""
    if models.keys() == {"length_estimator"}:
        return {}
    if "evaluator" in models:
        return {"statistics (mean.npy, std.npy)": statistics, "word vectors (glove/our_vab_*)": words}
    return {
        "a tokenizer (a VQ-VAE)": "tokenizer" in models,
        "a language-motion model (LaMP's pretraining, or LaMP-T2M)": "language_motion" in models,
        "a vocabulary (vocab.txt of bert-base-uncased)": vocabulary,
        "statistics (Mean.npy, Std.npy)": statistics,
    }


def _open(file: Path) -> tuple[Account, Found | nn.Module]:
    if file.is_dir():
        model = load_model(file)
        kind = next(name for name, (_, model_type) in MODELS.items() if isinstance(model, model_type))
        return Account(file, kind, used=list(model.state_dict())), model
    tensors = read_released(file)
    found = recognise(tensors)
    if found is None:
        raise LampError(
            f"{file} holds none of the models that are known here but {describe(tensors)}; give one of: "
            + ", ".join(KINDS.values())
        )
    account = Account(file, found.kind)
    account.left_over = sorted(tensors.keys() - {found.root + name for name in found.tensors})
    return account, found


def _convert_captioner(
    account: Account, tensors: dict[str, Tensor], destination: Path, tokenizer: str | os.PathLike, options: Options
) -> None:
    heads = _heads(tensors["query_tokens"].shape[-1], options.language_motion_heads, "Q-Former")
    config = captioner.config_from_released(tensors, heads)
    read = dataclasses.replace(config.language_motion, padding=options.padding)
    config = dataclasses.replace(config, language_motion=read)
    used = captioner.convert_captioner(tensors, destination, tokenizer, config, options.language_model_heads)
    account.used = sorted(used)
    account.notes.append(
        f"{heads} heads in the Q-Former and {options.language_model_heads} in OPT, which the file does not show"
    )
    reasons = {
        r"trans_base\.|trans_head\.|vq_model\.": "never used by the release",
        r"opt_model\.": "repeats other tensors",
        r"motion_encoder\.": "taken from the LaMP model it is used with",
        r"Qformer\.": "of the text side, which a captioner does not use",
    }
    for name in sorted(tensors.keys() - used):
        reason = next((reason for pattern, reason in reasons.items() if re.match(pattern, name)), None)
        (account.dropped.setdefault(reason, []) if reason else account.left_over).append(name)


@contextmanager
def _explained(files: Sequence[Path]) -> Iterator[None]:
    """Sizes are read off shapes: whatever fails there is the fault of the files, and is said so."""
    try:
        yield
    except LampError:
        raise
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise LampError(
            f"{' and '.join(map(str, files))}: a tensor is missing or has a shape that none of these models has; "
            "get the original"
        ) from error


class _Builder:
    """Released tensors -> our models; the accounts learn what became of them.

    found: by kind; models: those that came as our own folders.
    """

    def __init__(
        self, found: dict[str, Found], accounts: dict[str, Account], models: dict[str, nn.Module], options: Options
    ):
        self.released = {kind: known.tensors for kind, known in found.items()}
        self.accounts, self.models, self.options = accounts, dict(models), options
        self._used: dict[str, set[str]] = {kind: set() for kind in found}

    def build(self) -> dict[str, nn.Module]:
        """All models by the names of their parts. Raises LampError for tensors that are missing or do not fit."""
        for kind, source in (("evaluator", evaluator), ("length_estimator", length_estimator)):
            if kind in self.released:
                tensors = self.released[kind]
                model = MODELS[kind][1](source.config_from_released(tensors))
                self._add(kind, kind, model, source.convert(tensors))
        self._tokenizer("tokenizer", "vqvae.")
        self._tokenizer("language_motion", "vq_model.vqvae.")
        self._motion_encoder()
        self._language_motion()
        self._generator()
        for kind, tensors in self.released.items():
            _account(self.accounts[kind], tensors, self._used[kind])
        return self.models

    def _tokenizer(self, kind: str, prefix: str) -> None:
        tensors = {n: t for n, t in self.released.get(kind, {}).items() if n.startswith(prefix)}
        if not tensors:
            return
        if "tokenizer" in self.models:
            self.accounts[kind].dropped["the VQ-VAE of another file is taken"] = list(tensors)
            return
        model = MotionTokenizer(tokenizer.config_from_released(tensors, prefix))
        self._add("tokenizer", kind, model, tokenizer.convert(tensors, prefix))

    def _motion_encoder(self) -> None:
        tensors = self.released.get("language_motion", {})
        renamed = {f"encoder.{name}": tensor for name, tensor in tokenizer.convert_encoder(tensors).items()}
        if renamed:
            self._add("motion_encoder", "language_motion", MotionEncoder(_encoder_config(tensors)), renamed)

    def _language_motion(self) -> None:
        pretrained, made_with = (self.released.get(kind, {}) for kind in ("language_motion", "generator"))
        kinds = [kind for kind in ("language_motion", "generator") if kind in self.released]
        if not kinds:
            return
        if len(kinds) == 2:
            self._compare(pretrained, made_with)
        released = {**pretrained, **made_with}
        heads = _heads(released["query_tokens"].shape[-1], self.options.language_motion_heads, "Q-Former")
        config = language_motion.config_from_released(released, heads)
        encoder = self.models.get("motion_encoder") or self.models.get("tokenizer")
        code_dim = encoder.config.code_dim if encoder and not pretrained else config.code_dim
        config = dataclasses.replace(config, padding=self.options.padding, code_dim=code_dim)
        absent = () if len(kinds) == 2 else _ABSENT[kinds[0]]
        self._add("language_motion", kinds[-1], LanguageMotionModel(config), language_motion.convert(released), absent)
        self.accounts[kinds[-1]].notes.append(f"{heads} heads in the Q-Former, which the file does not show")
        for kind in kinds:
            self._used[kind] |= {name for name in self.released[kind] if language_motion.released_name(name)}

    def _compare(self, pretrained: dict[str, Tensor], made_with: dict[str, Tensor]) -> None:
        """Both files hold a Q-Former: of one shape, and the same if the generator was trained on this pretraining."""
        both = [name for name in pretrained if name in made_with and language_motion.released_name(name)]
        for name in both:
            if pretrained[name].shape != made_with[name].shape:
                raise LampError(
                    f"{self.accounts['language_motion'].file} and {self.accounts['generator'].file} belong to "
                    f"different models: {name} is {tuple(pretrained[name].shape)} and {tuple(made_with[name].shape)}; "
                    "convert one of them"
                )
        differing = sum(not torch.equal(pretrained[name], made_with[name]) for name in both)
        if differing:
            self.accounts["generator"].notes.append(
                f"its Q-Former differs from that of the pretraining in {differing} of {len(both)} tensors and is "
                "taken: what the pretraining alone would give in retrieval, this model does not"
            )

    def _generator(self) -> None:
        tensors, options = self.released.get("generator"), self.options
        if not tensors:
            return
        heads = _heads(tensors["cond_emb.weight"].shape[0], options.generator_heads, "masked transformer")
        config = generator.config_from_released(tensors, num_heads=heads)
        config = dataclasses.replace(config, padding=options.padding, attention_mode=options.attention_mode)
        self._add("generator", "generator", MotionGenerator(config), generator.convert(tensors))
        self.accounts["generator"].notes.append(
            f"{heads} heads and attention {config.attention_mode} in the masked transformer, which the file does not "
            "show"
        )

    def _add(
        self, part: str, kind: str, model: nn.Module, renamed: dict[str, Tensor], optional: Sequence[str] = ()
    ) -> None:
        self.accounts[kind].missing += _fill(self.accounts[kind].file, model, renamed, optional)
        self.models[part] = model.eval()
        kept = {id(tensor) for tensor in renamed.values()}
        self._used[kind] |= {name for name, tensor in self.released[kind].items() if id(tensor) in kept}


# What one of the two files of the language-motion model does not hold.
_ABSENT = {
    "language_motion": ("condition_projection.",),
    "generator": (
        *("motion_projection.", "text_projection.", "text_proj.", "motion_proj."),
        *("matching_head.", "code_head.", "temp"),
    ),
}


def _account(account: Account, tensors: dict[str, Tensor], used: set[str]) -> None:
    account.used = sorted(used)
    told = {name for names in account.dropped.values() for name in names}
    for name in sorted(tensors.keys() - used - told):
        reason = next((reason for pattern, reason in _DROPPED.items() if re.match(pattern, name)), None)
        (account.dropped.setdefault(reason, []) if reason else account.left_over).append(name)


def _fill(file: Path, model: nn.Module, tensors: dict[str, Tensor], optional: Sequence[str]) -> list[str]:
    """Load; what is missing and `optional` becomes zero and is returned. Raises LampError for anything else."""
    expected = model.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    needed = [name for name in missing if not name.startswith(tuple(optional))] if optional else missing
    if needed:
        others = f" and {len(needed) - 1} more" if len(needed) > 1 else ""
        raise LampError(f"{file} lacks {needed[0]}{others}; get the whole file")
    for name in sorted(expected.keys() & tensors.keys()):
        tensor = tensors[name]
        if tensor.shape != expected[name].shape:
            raise LampError(
                f"{file}: {name} has shape {tuple(tensor.shape)}, the other tensors call for "
                f"{tuple(expected[name].shape)}; get the original file"
            )
        if not tensor.is_floating_point() or not tensor.numel():
            raise LampError(
                f"{file}: {name} holds {tensor.numel()} numbers of {tensor.dtype}, expected floating-point weights; "
                "get the original file"
            )
    zeros = {name: torch.zeros_like(expected[name]) for name in missing}
    model.load_state_dict({name: tensors.get(name, zeros.get(name)).float() for name in expected})
    return missing


def _lamp(models: dict[str, nn.Module], text_tokenizer: TextTokenizer, mean: Tensor, std: Tensor) -> Lamp:
    parts = {name: models.get(name) for name in PARTS}
    feature_dim = parts["tokenizer"].config.feature_dim
    dataset = next((name for name, skeleton in SKELETONS.items() if skeleton.feature_dim == feature_dim), None)
    if dataset is None:
        raise LampError(f"the VQ-VAE reads {feature_dim} features; expected 263 (HumanML3D) or 251 (KIT-ML)")
    if parts["motion_encoder"] and _same_encoder(parts["motion_encoder"], parts["tokenizer"]):
        parts["motion_encoder"] = None
    configs = {name: model.config if model else None for name, model in parts.items()}
    reads_motion = bool(parts["language_motion"].motion_proj.weight.any())
    lamp = Lamp(LampConfig(dataset, **configs, reads_motion=reads_motion), text_tokenizer, mean, with_bias(mean, std))
    for name, model in parts.items():
        setattr(lamp, name, model)
    return lamp.eval()


def _save_parts(destination: Path, models: dict[str, nn.Module]) -> None:
    check_replaceable(destination)
    with new_folder(destination) as partial:
        for name, model in models.items():
            folder = partial / name if len(models) > 1 else partial
            folder.mkdir(exist_ok=True)
            save_model(folder, model)


def _beside(files: Sequence[Path], *names: str, parent: bool = False) -> Path | None:
    """The first of these names that lies beside one of the files, or its folder."""
    for file in files:
        for name in names:
            candidate = (file.parent if file.is_file() else file) / name
            if candidate.is_file():
                return candidate.parent if parent else candidate
    return None


def _heads(width: int, heads: int | None, what: str) -> int:
    if heads is None and width % HEAD_WIDTH:
        raise LampError(
            f"the {what} is {width} wide, which heads of {HEAD_WIDTH} do not divide; a file does not show the number "
            "of heads: give it (--language-motion-heads, --generator-heads)"
        )
    heads = width // HEAD_WIDTH if heads is None else heads
    if heads < 1 or width % heads:
        raise LampError(f"the {what} is {width} wide, which {heads} heads do not divide; give another number of heads")
    return heads


def _encoder_config(tensors: dict[str, Tensor]) -> TokenizerConfig:
    """Of LaMP's `motion_encoder`: as that of the VQ-VAE it copies, with its own sizes."""
    width, feature_dim, _ = tensors["motion_encoder.model.0.weight"].shape
    stages = sorted({int(m[1]) for name in tensors if (m := re.match(r"motion_encoder\.model\.(\d+)\.", name))})
    depth = {m[1] for name in tensors if (m := re.match(r"motion_encoder\.model\.2\.1\.model\.(\d+)\.", name))}
    code_dim = tensors[f"motion_encoder.model.{stages[-1]}.weight"].shape[0]
    return TokenizerConfig(feature_dim, width, code_dim, down_blocks=len(stages) - 2, depth=len(depth))


def _same_encoder(encoder: MotionEncoder, vq: MotionTokenizer) -> bool:
    theirs = vq.encoder.state_dict()
    ours = encoder.encoder.state_dict()
    return ours.keys() == theirs.keys() and all(
        tensor.shape == theirs[name].shape and torch.equal(tensor, theirs[name]) for name, tensor in ours.items()
    )
