"""Train a language model to read LaMP's queries (LaMP-M2T): projection, LoRA and the motion side of the Q-Former."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor

from ..backend import find_device
from ..checkpoints.captioner import open_language_model, save_captioner
from ..checkpoints.folder import load_lamp
from ..config import CaptionerConfig
from ..data import open_dataset
from ..data.encoded import TRAINING_OFFSETS, EncodedClip, collate, encode_clips
from ..errors import LampError
from ..models.llm_captioner import LlmCaptioner
from .loop import Batch, Objective, TrainingOptions, train
from .paraphrase import paraphrases
from .sampling import TextBalancedSampler, pick, pick_texts


class CaptionerObjective(Objective):
    """Cross entropy of a clip's text; wordings: how many paraphrases of it are used."""

    # At the rate that LoRA and the projection want, the motion side forgets to tell motions apart (docs/captioning.md).
    pretrained = ("language_motion.",)

    def __init__(self, model: LlmCaptioner, train: list[EncodedClip], validation: list[EncodedClip], wordings: int = 1):
        super().__init__()
        self.model = model
        self.clips, self.validation = train, validation
        self.wordings = {text: paraphrases(text, wordings) for clip in train for text in clip.texts}
        self.sampler = TextBalancedSampler(train)

    def batch(self, draw: torch.Generator, size: int) -> Batch:
        clips = [self.clips[i] for i in self.sampler.draw(size, draw, distinct=False)]
        texts = [pick(self.wordings[text], draw) for text in pick_texts(clips, draw)]
        return self._collate(clips, texts, draw)

    def _collate(self, clips: list[EncodedClip], texts: list[str], draw: torch.Generator) -> Batch:
        encoded = collate(clips, self.model.config.language_motion.num_queries, draw, pad_id=0)
        ids, mask = self.model.tokenize(texts)
        return {
            "latents": encoded["latents"],
            "lengths": encoded["lengths"],
            "input_ids": ids,
            "attention_mask": mask,
        }

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"total": self.model.loss(**batch)}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The loss over every validation clip and its first text."""
        device = self.model.projection.weight.device
        loss, draw = 0.0, torch.Generator().manual_seed(0)
        for start in range(0, len(self.validation), 16):
            clips = self.validation[start : start + 16]
            batch = self._collate(clips, [clip.texts[0] for clip in clips], draw)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            loss += float(self.model.loss(**batch)) * len(clips) / len(self.validation)
        return {"loss": loss}


@torch.no_grad()
def start_projection(captioner: LlmCaptioner, clips: list[EncodedClip], clips_at_most: int = 2048) -> None:
    """Set the projection so that every query says what it can of the mean of its text's word embeddings.

    The closed solution of a ridge regression. From weights drawn at random, a small language model learns for hundreds
    of steps to write such texts before it begins to look at the motion.
    """
    device, config = captioner.projection.weight.device, captioner.config.language_motion
    embedding = captioner.llm.get_input_embeddings()
    draw = torch.Generator().manual_seed(0)
    clips = [clips[i] for i in torch.randperm(len(clips), generator=draw)[:clips_at_most].tolist()]
    queries, words = [], []
    for start in range(0, len(clips), 32):
        some = clips[start : start + 32]
        batch = collate(some, config.num_queries, draw, pad_id=0)
        latents, lengths = batch["latents"].to(device), batch["lengths"].to(device)
        queries.append(captioner.language_motion.encode_motion(latents, lengths))
        ids, mask = captioner.tokenize([clip.texts[0] for clip in some])
        mask = mask.to(device)[..., None].double()
        words.append((embedding(ids.to(device)).double() * mask).sum(1) / mask.sum(1))
    x, y = torch.cat(queries).double(), torch.cat(words)[:, None]
    x_mean, y_mean = x.mean((0, 1)), y.mean(0)
    centred = (x - x_mean).flatten(0, 1)
    square = centred.T @ centred
    square.diagonal().add_(1e-3 * square.diagonal().mean())
    weight = torch.linalg.solve(square, centred.T @ (y - y_mean).expand(-1, x.shape[1], -1).flatten(0, 1)).T
    captioner.projection.weight.copy_(weight)
    captioner.projection.bias.copy_(y_mean[0] - weight @ x_mean)


def train_captioner(
    folder: str | Path,
    data: str | Path,
    model: str,
    config: CaptionerConfig,
    options: TrainingOptions,
    mirror: bool = True,
    wordings: int = 16,
) -> LlmCaptioner:
    """Train from the LaMP `model` and leave a captioner in `folder`; a run that was cut goes on.

    config: its language_motion is replaced by the model's. Raises `LampError` for a model, a language model or a data
    set that cannot be used, and for a folder of another run.
    """
    lamp = load_lamp(model, find_device())
    lamp.require("reads_motion")
    if lamp.motion_encoder is not None:
        raise LampError(f"{model} reads motion with an encoder of its own; train a captioner from a model without one")
    config = dataclasses.replace(config, language_motion=lamp.config.language_motion)
    # The first weights are a function of the seed too.
    torch.manual_seed(options.seed)
    captioner = LlmCaptioner(config, *open_language_model(config.language_model))
    captioner.language_motion.load_state_dict(lamp.language_motion.state_dict())
    captioner.eval().to(find_device())
    mean, std = lamp.mean.cpu().numpy(), lamp.std.cpu().numpy()
    clips = {
        split: encode_clips(
            lamp.tokenizer,
            open_dataset(data, split, mirror=mirror and split == "train"),
            mean,
            std,
            TRAINING_OFFSETS if split == "train" else (0,),
        )
        for split in ("train", "val")
    }
    start_projection(captioner, clips["train"])
    objective = CaptionerObjective(captioner, clips["train"], clips["val"], wordings)
    settings = {"model": model, "mirror": mirror, "wordings": wordings} | dataclasses.asdict(config)
    trained = train(objective, folder, options, settings)
    if PartialState().is_main_process:
        save_captioner(folder, trained.cpu())
    PartialState().wait_for_everyone()
    return trained
