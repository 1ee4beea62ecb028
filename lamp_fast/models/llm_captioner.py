"""LaMP-M2T: a causal language model that reads a motion's queries through a linear projection, with LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import CaptionerConfig
from ..errors import LampError
from .captioning import NextWord
from .language_motion import IGNORED, LanguageMotionModel

END = "\n"


def reads_motion(name: str) -> bool:
    """Whether a parameter of `LanguageMotionModel` takes part in `encode_motion`."""
    if name.startswith("layers."):
        return ".text_feed_forward." not in name
    return name.startswith(("query_tokens", "embedding_norm.", "motion_projection."))


class LlmCaptioner(nn.Module):
    """A `CaptionWriter`: motion -> queries (B,Q,D) -> `projection` -> the first Q embeddings the language model sees.

    The motion side of LaMP, the projection and the low-rank additions are trained; they alone are in the state dict,
    the language model comes from its own folder and stays as it is.

    Args:
        language_model: a causal language model of transformers.
        words: its tokenizer.

    Raises:
        LampError: layers that the language model does not have, more positions than it has, or a tokenizer without a
            token for the end of a line.
    """

    def __init__(self, config: CaptionerConfig, language_model: nn.Module, words: Any):
        super().__init__()
        self.config, self.words = config, words
        self.language_motion = LanguageMotionModel(config.language_motion)
        for name, parameter in self.language_motion.named_parameters():
            parameter.requires_grad_(reads_motion(name))
        width = language_model.get_input_embeddings().weight.shape[1]
        self.projection = nn.Linear(config.language_motion.hidden_size, width)
        self.llm = _with_lora(language_model.requires_grad_(False), config)
        *_, self.end_id = words(END, add_special_tokens=False).input_ids or [None]
        self.prompt_ids = words(config.prompt).input_ids
        self.max_words = config.max_words
        self._check()
        self.register_buffer("never", self._special(), persistent=False)
        self.register_state_dict_post_hook(_keep_trained)
        self.register_load_state_dict_post_hook(_frozen_is_not_missing)

    def _check(self) -> None:
        if self.end_id is None:
            raise LampError("the tokenizer of the language model has no token for the end of a line; use another model")
        needed = self.config.language_motion.num_queries + len(self.prompt_ids) + self.max_words
        positions = getattr(self.llm.config, "max_position_embeddings", needed)
        if needed > positions:
            raise LampError(
                f"queries, prompt and words need {needed} positions, the language model has {positions}; "
                "choose another model or fewer words"
            )

    def _special(self) -> Tensor:
        vocabulary = self.llm.get_input_embeddings().weight.shape[0]
        never = torch.zeros(vocabulary, dtype=torch.bool)
        never[[i for i in self.words.all_special_ids if i < vocabulary and i != self.end_id]] = True
        return never

    def trained(self) -> set[str]:
        """Names of the parameters that training changes."""
        return {name for name, parameter in self.named_parameters() if parameter.requires_grad}

    def tokenize(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """B texts -> ids (B,L) int64, each with the end of a line, at most `max_words`; mask (B,L), 1 = a word."""
        rows = [[*self.words(text).input_ids[: self.max_words - 1], self.end_id] for text in texts]
        longest = max(map(len, rows))
        pad = self.words.pad_token_id
        pad = self.end_id if pad is None else pad
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        return ids, (torch.arange(longest) < torch.tensor([[len(row)] for row in rows])).long()

    def decode(self, ids: Tensor) -> list[str]:
        rows = [row[: row.index(self.end_id)] if self.end_id in row else row for row in ids.tolist()]
        return [self.words.decode(row, skip_special_tokens=True).strip() for row in rows]

    def prefix(self, latents: Tensor, lengths: Tensor | None) -> Tensor:
        """Motions -> (B,Q,W), in the place of the embeddings of words."""
        return self.projection(self.language_motion.encode_motion(latents, lengths))

    def embed(self, prefix: Tensor, input_ids: Tensor) -> Tensor:
        """prefix (B,Q,W), input_ids (B,L) -> (B,Q+L,W) in the language model's precision."""
        words = self.llm.get_input_embeddings()(input_ids)
        return torch.cat([prefix.to(words.dtype), words], 1)

    def forward(self, latents: Tensor, lengths: Tensor | None, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Scores (B,L,V) of each word of texts as `tokenize` gives them, from the motion and the words before it."""
        prefix = self.prefix(latents, lengths)
        attended = F.pad(attention_mask, (prefix.shape[1], 0), value=1)
        embedded = self.embed(prefix, input_ids)
        said = self.llm(inputs_embeds=embedded, attention_mask=attended, logits_to_keep=input_ids.shape[1] + 1)
        return said.logits[:, :-1]

    def loss(self, latents: Tensor, lengths: Tensor | None, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Mean cross entropy of the words, their end included."""
        logits = self(latents, lengths, input_ids, attention_mask)
        targets = input_ids.masked_fill(attention_mask == 0, IGNORED)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def read(self, latents: Tensor, lengths: Tensor | None) -> NextWord:
        return _PrefixThenWords(self, self.prefix(latents, lengths))


class _PrefixThenWords:
    """The prefix, the prompt and the words said, as keys and values of the language model."""

    def __init__(self, model: LlmCaptioner, prefix: Tensor):
        self.llm = model.llm
        prompt = torch.tensor(model.prompt_ids, dtype=torch.long, device=prefix.device).expand(len(prefix), -1)
        self.first = model.embed(prefix, prompt)

    def start(self, width: int) -> Tensor:
        said = self.llm(inputs_embeds=self.first, use_cache=True, logits_to_keep=1)
        self.past = said.past_key_values
        if width > 1:
            self.past.batch_repeat_interleave(width)
        return said.logits[:, -1]

    def step(self, words: Tensor, rows: Tensor | None = None) -> Tensor:
        if rows is not None:
            self.past.reorder_cache(rows)
        said = self.llm(input_ids=words[:, None], past_key_values=self.past, use_cache=True)
        return said.logits[:, -1]


def _with_lora(language_model: nn.Module, config: CaptionerConfig) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets),
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(language_model, lora)
    except ValueError as error:
        targets = ", ".join(config.lora_targets)
        raise LampError(f"the language model cannot be given LoRA at {targets}; name layers that it has") from error


def _keep_trained(model: LlmCaptioner, state: dict, prefix: str, _: Any) -> None:
    kept = {prefix + name for name in model.trained()}
    for name in [name for name in state if name.startswith(prefix) and name not in kept]:
        del state[name]


def _frozen_is_not_missing(model: LlmCaptioner, incompatible: Any) -> None:
    incompatible.missing_keys[:] = sorted(model.trained() & set(incompatible.missing_keys))
