"""Released files -> one of our model folders, with an account of every tensor."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
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
from ..evaluator import Evaluator, save_evaluator
from ..folder import MODELS, PARTS, VOCABULARY, check_replaceable, load_model, save_lamp, save_model
from . import evaluator, generator, language_motion, length_estimator, tokenizer
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

    language_motion_heads, generator_heads: None takes heads of 64 channels, as released.
    """

    language_motion_heads: int | None = None
    generator_heads: int | None = None
    padding: Padding = "released"
    attention_mode: AttentionMode = "soft_causal"


@dataclass
class Account:
    """What became of the tensors of one file; names are the release's, those of `missing` are ours."""

    file: Path
    kind: str
    used: int = 0
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

    models |= _build(found, by_kind, models, options)
    if "evaluator" in models and len(models) > 1:
        raise LampError("an evaluator has statistics of its own; convert it by itself")
    vocabulary = vocabulary or _beside(files, VOCABULARY, f"bert/{VOCABULARY}")
    statistics = statistics or _beside(files, "mean.npy", "Mean.npy", "meta/mean.npy", "meta/Mean.npy", parent=True)
    words = words or _beside(files, "our_vab_idx.pkl", "glove/our_vab_idx.pkl", parent=True)
    destination = Path(destination)
    if "evaluator" in models:
        lacking = {"statistics (mean.npy, std.npy)": statistics, "word vectors (glove/our_vab_*)": words}
    else:
        lacking = {
            "a tokenizer (a VQ-VAE)": "tokenizer" in models,
            "a language-motion model (LaMP's pretraining, or LaMP-T2M)": "language_motion" in models,
            "a vocabulary (vocab.txt of bert-base-uncased)": vocabulary,
            "statistics (Mean.npy, Std.npy)": statistics,
        }
    lacking = [name for name, there in lacking.items() if not there]
    if lacking:
        _save_parts(destination, models)
    elif "evaluator" in models:
        parts = Evaluator(models["evaluator"], *read_statistics(statistics), *read_words(words))
        save_evaluator(destination, parts)
    else:
        save_lamp(destination, _lamp(models, TextTokenizer(vocabulary), *read_statistics(statistics), by_kind))
    return Conversion(accounts, list(models), lacking)


def _open(file: Path) -> tuple[Account, Found | nn.Module]:
    if file.is_dir():
        model = load_model(file)
        kind = next(name for name, (_, model_type) in MODELS.items() if isinstance(model, model_type))
        return Account(file, kind, used=len(model.state_dict())), model
    tensors = read_released(file)
    found = recognise(tensors)
    if found is None:
        raise LampError(
            f"{file} holds none of the models that are known here but {describe(tensors)}; give one of: "
            + ", ".join(KINDS.values())
        )
    if found.kind == "captioner":
        raise LampError(f"{file} is {KINDS['captioner']}; its conversion needs the captioning model, not this command")
    account = Account(file, found.kind)
    account.left_over = sorted(tensors.keys() - {found.root + name for name in found.tensors})
    return account, found


def _build(
    found: dict[str, Found], accounts: dict[str, Account], models: dict[str, nn.Module], options: Options
) -> dict[str, nn.Module]:
    """Our models of the released tensors; the accounts learn what became of them."""
    built: dict[str, nn.Module] = {}
    used: dict[str, set[str]] = {kind: set() for kind in found}

    def build(part: str, kind: str, model: nn.Module, tensors: dict[str, Tensor], optional: Sequence[str] = ()) -> None:
        accounts[kind].missing += _fill(accounts[kind].file, model, tensors, optional)
        built[part] = model.eval()

    for kind in ("evaluator", "length_estimator"):
        if kind in found:
            source, (_, model_type) = {"evaluator": evaluator, "length_estimator": length_estimator}[kind], MODELS[kind]
            tensors = found[kind].tensors
            renamed = source.convert(tensors)
            build(kind, kind, model_type(source.config_from_released(tensors)), renamed)
            used[kind] |= _names_of(tensors, renamed)

    for kind, prefix in (("tokenizer", "vqvae."), ("language_motion", "vq_model.vqvae.")):
        if kind in found and f"{prefix}quantizer.codebook" in found[kind].tensors:
            tensors = found[kind].tensors
            if "tokenizer" in built or "tokenizer" in models:
                names = [name for name in tensors if name.startswith(prefix)]
                accounts[kind].dropped["the VQ-VAE of another file is taken"] = names
                continue
            renamed = tokenizer.convert(tensors, prefix)
            build("tokenizer", kind, MotionTokenizer(tokenizer.config_from_released(tensors, prefix)), renamed)
            used[kind] |= _names_of(tensors, renamed)

    if "language_motion" in found:
        tensors = found["language_motion"].tensors
        renamed = {f"encoder.{name}": tensor for name, tensor in tokenizer.convert_encoder(tensors).items()}
        if renamed:
            build("motion_encoder", "language_motion", MotionEncoder(_encoder_config(tensors)), renamed)
            used["language_motion"] |= _names_of(tensors, renamed)

    pretrained, made_with = (found[k].tensors if k in found else {} for k in ("language_motion", "generator"))
    if pretrained or made_with:
        both = [name for name in pretrained if name in made_with and language_motion.released_name(name)]
        differing = [name for name in both if not _equal(pretrained[name], made_with[name])]
        if any(pretrained[name].shape != made_with[name].shape for name in differing):
            name = next(name for name in differing if pretrained[name].shape != made_with[name].shape)
            raise LampError(
                f"{accounts['language_motion'].file} and {accounts['generator'].file} belong to different models: "
                f"{name} is {tuple(pretrained[name].shape)} and {tuple(made_with[name].shape)}; convert one of them"
            )
        if differing:
            accounts["generator"].notes.append(
                f"its Q-Former differs from that of the pretraining in {len(differing)} of {len(both)} tensors and is "
                "taken: what the pretraining alone would give in retrieval, this model does not"
            )
        merged = {**pretrained, **made_with}
        width = merged["query_tokens"].shape[-1]
        config = language_motion.config_from_released(merged, _heads(width, options.language_motion_heads, "Q-Former"))
        vq = models.get("motion_encoder") or built.get("motion_encoder")
        vq = vq or models.get("tokenizer") or built.get("tokenizer")
        if not pretrained and vq:
            config = dataclasses.replace(config, code_dim=vq.config.code_dim)
        config = dataclasses.replace(config, padding=options.padding)
        kind = "generator" if made_with else "language_motion"
        accounts[kind].notes.append(f"{config.num_heads} heads in the Q-Former, which the file does not show")
        renamed = language_motion.convert(merged)
        absent = () if pretrained and made_with else _ABSENT["language_motion" if pretrained else "generator"]
        build("language_motion", kind, LanguageMotionModel(config), renamed, absent)
        for kind in {"language_motion", "generator"} & found.keys():
            used[kind] |= {name for name in found[kind].tensors if language_motion.released_name(name)}

    if made_with:
        width = made_with["cond_emb.weight"].shape[0]
        config = generator.config_from_released(
            made_with, num_heads=_heads(width, options.generator_heads, "masked transformer")
        )
        config = dataclasses.replace(config, padding=options.padding, attention_mode=options.attention_mode)
        accounts["generator"].notes.append(
            f"{config.num_heads} heads and attention {config.attention_mode} in the masked transformer, which the file "
            "does not show"
        )
        renamed = generator.convert(made_with)
        build("generator", "generator", MotionGenerator(config), renamed)
        used["generator"] |= _names_of(made_with, renamed)

    for kind, known in found.items():
        _account(accounts[kind], known.tensors, used[kind])
    return built


# What one of the two files of the language-motion model does not hold.
_ABSENT = {
    "language_motion": ("condition_projection.",),
    "generator": (
        *("motion_projection.", "text_projection.", "text_proj.", "motion_proj."),
        *("matching_head.", "code_head.", "temp"),
    ),
}


def _account(account: Account, tensors: dict[str, Tensor], used: set[str]) -> None:
    account.used = len(used)
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
        raise LampError(f"{file} lacks {needed[0]} (and {len(needed) - 1} more); get the whole file")
    for name in expected.keys() & tensors.keys():
        if tensors[name].shape != expected[name].shape:
            raise LampError(
                f"{file}: {name} has shape {tuple(tensors[name].shape)}, the other tensors call for "
                f"{tuple(expected[name].shape)}; get the original file"
            )
    zeros = {name: torch.zeros_like(expected[name]) for name in missing}
    model.load_state_dict({name: tensors.get(name, zeros.get(name)).float() for name in expected})
    return missing


def _lamp(
    models: dict[str, nn.Module], text_tokenizer: TextTokenizer, mean: Tensor, std: Tensor, accounts: dict[str, Account]
) -> Lamp:
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
    heads = heads or width // HEAD_WIDTH
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
    return ours.keys() == theirs.keys() and all(_equal(tensor, theirs[name]) for name, tensor in ours.items())


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _names_of(tensors: dict[str, Tensor], renamed: dict[str, Tensor]) -> set[str]:
    """Released names of the tensors that were only renamed."""
    kept = {id(tensor) for tensor in renamed.values()}
    return {name for name, tensor in tensors.items() if id(tensor) in kept}
