"""Released Q-Former weights (`motion_qformer` and `t2m_transformer` checkpoints) under our names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ...config import LanguageMotionConfig
from ...errors import LampError

_LAYER = r"Qformer\.bert\.encoder\.layer\.(\d+)\."
_RENAMES = [
    (_LAYER + r"attention\.self\.", r"layers.\1.self_attention."),
    (_LAYER + r"attention\.output\.dense\.", r"layers.\1.self_attention.output."),
    (_LAYER + r"attention\.output\.LayerNorm\.", r"layers.\1.self_attention.norm."),
    (_LAYER + r"crossattention\.self\.", r"layers.\1.cross_attention."),
    (_LAYER + r"crossattention\.output\.dense\.", r"layers.\1.cross_attention.output."),
    (_LAYER + r"crossattention\.output\.LayerNorm\.", r"layers.\1.cross_attention.norm."),
    (_LAYER + r"intermediate\.dense\.", r"layers.\1.text_feed_forward.expand."),
    (_LAYER + r"output\.dense\.", r"layers.\1.text_feed_forward.contract."),
    (_LAYER + r"output\.LayerNorm\.", r"layers.\1.text_feed_forward.norm."),
    (_LAYER + r"intermediate_query\.dense\.", r"layers.\1.query_feed_forward.expand."),
    (_LAYER + r"output_query\.dense\.", r"layers.\1.query_feed_forward.contract."),
    (_LAYER + r"output_query\.LayerNorm\.", r"layers.\1.query_feed_forward.norm."),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.", "embedding_norm."),
    (r"Qformer\.bert\.embeddings\.", ""),
    (r"Qformer\.cls\.predictions\.transform\.dense\.", "word_head.transform."),
    (r"Qformer\.cls\.predictions\.transform\.LayerNorm\.", "word_head.norm."),
    (r"Qformer\.cls\.predictions\.", "word_head."),
    (r"text2former\.", "condition_projection."),
    (r"itm_head\.", "matching_head."),
    (r"motion_cls\.", "code_head."),
    (r"(text_proj|motion_proj)\.", r"\1."),
    (r"(query_tokens|temp)$", r"\1"),
    (r"(motion_projection|text_projection)$", r"\1.weight"),
]
_TRANSPOSED = ("motion_projection", "text_projection")
_TIED = ("Qformer.cls.predictions.decoder.", "Qformer.bert.embeddings.position_ids")


def released_name(name: str) -> str | None:
    """Our name of a released tensor; None for one of another part, or one that repeats another."""
    if name.startswith(_TIED):
        return None
    for pattern, replacement in _RENAMES:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name, count=1)
    return None


def convert(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the language-motion model under our names; those of other parts are left out.

    `motion_qformer` lacks `condition_projection`; `t2m_transformer` lacks the pretraining heads. Merged
    (`convert({**motion_qformer, **t2m_transformer})`) they are complete.
    """
    renamed = {name: released_name(name) for name in state_dict}
    return {
        ours: state_dict[name].T.contiguous() if name in _TRANSPOSED else state_dict[name]
        for name, ours in renamed.items()
        if ours is not None
    }


def config_from_released(state_dict: Mapping[str, Tensor], num_heads: int = 12) -> LanguageMotionConfig:
    """Sizes read from shapes; what a checkpoint does not show (embed_dim of `t2m_transformer`) keeps its default.

    Raises LampError when the tensors are not those of a released Q-Former.
    """
    if "query_tokens" not in state_dict or "Qformer.bert.embeddings.word_embeddings.weight" not in state_dict:
        raise LampError(
            "this is no released Q-Former: it has no query_tokens and Qformer.*; give the state dict found under "
            "motion_qformer or t2m_transformer"
        )
    tensors = convert(state_dict)
    vocab_size, hidden_size = tensors["word_embeddings.weight"].shape
    max_positions = tensors["position_embeddings.weight"].shape[0]
    layers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("layers.")})
    crossing = [i for i in layers if f"layers.{i}.cross_attention.key.weight" in tensors]
    sizes = {}
    if "motion_projection.weight" in tensors:
        sizes["code_dim"] = tensors["motion_projection.weight"].shape[1]
        if "code_head.weight" in tensors:  # not in LaMP-M2T
            sizes["num_codes"] = tensors["code_head.weight"].shape[0]
            sizes["embed_dim"] = tensors["text_proj.weight"].shape[0]
    elif "token_emb.weight" in state_dict:
        num_ids, sizes["code_dim"] = state_dict["token_emb.weight"].shape
        sizes["num_codes"] = num_ids - 2  # without the mask and pad ids
    default = LanguageMotionConfig()
    return LanguageMotionConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_layers=len(layers),
        num_heads=num_heads,
        intermediate_size=tensors["layers.0.text_feed_forward.expand.weight"].shape[0],
        query_intermediate_size=tensors["layers.0.query_feed_forward.expand.weight"].shape[0],
        max_positions=max_positions,
        num_queries=tensors["query_tokens"].shape[1],
        cross_attention_every=crossing[1] - crossing[0] if len(crossing) > 1 else len(layers),
        memory_width=tensors["layers.0.cross_attention.key.weight"].shape[1],
        max_text_tokens=min(default.max_text_tokens, max_positions),
        max_pretraining_text_tokens=min(default.max_pretraining_text_tokens, max_positions),
        padding="released",
        **sizes,
    )
