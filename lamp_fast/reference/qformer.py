"""The released Q-Former, plain and slow: functions over the released state dict (`motiongpm_lamp.py`, `QFormer.py`).

`p` maps released names to tensors; sizes are read from their shapes, the number of heads is given. Evaluation mode: no
dropout. Masks are the released additive ones: -10000 in self-attention, the smallest float in cross-attention. Released
behaviours that our model does not share by default: contrastive logits are multiplied by `temp` itself, every motion
token counts whatever the length, and the condition reads padded text positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]
Cache = list[tuple[Tensor, Tensor]]

LAYER_NORM_EPS = 1e-12
LABEL_SMOOTHING = 0.1


def linear(p: Weights, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def layer_norm(p: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], LAYER_NORM_EPS)


def heads(x: Tensor, num_heads: int) -> Tensor:
    batch, length, width = x.shape
    return x.reshape(batch, length, num_heads, width // num_heads).transpose(1, 2)


def attention(p: Weights, name: str, hidden: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """hidden (B,L,D), keys and values (B,H,M,D/H), bias (broadcast to B,H,L,M) -> (B,L,D), residual and norm done."""
    queries = heads(linear(p, f"{name}.self.query", hidden), keys.shape[1])
    scores = queries @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5 + bias
    context = (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)
    return layer_norm(p, f"{name}.output.LayerNorm", linear(p, f"{name}.output.dense", context) + hidden)


def feed_forward(p: Weights, layer: str, kind: str, hidden: Tensor) -> Tensor:
    """`kind`: "" for text, "_query" for queries."""
    inner = F.gelu(linear(p, f"{layer}.intermediate{kind}.dense", hidden))
    return layer_norm(p, f"{layer}.output{kind}.LayerNorm", linear(p, f"{layer}.output{kind}.dense", inner) + hidden)


def self_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B,M) of keys or (B,L,M) of pairs, 1 = attend -> additive (B,1,1|L,M)."""
    mask = mask[:, None, None] if mask.dim() == 2 else mask[:, None]
    return (1.0 - mask.to(dtype)) * -10000.0


def cross_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B,M), 1 = attend -> additive (B,1,1,M)."""
    return (1.0 - mask[:, None, None].to(dtype)) * torch.finfo(dtype).min


def embed_text(p: Weights, input_ids: Tensor) -> Tensor:
    """(B,L) -> (B,L,D)."""
    name = "Qformer.bert.embeddings"
    positions = p[f"{name}.position_embeddings.weight"][: input_ids.shape[1]]
    return layer_norm(p, f"{name}.LayerNorm", p[f"{name}.word_embeddings.weight"][input_ids] + positions)


def embed_queries(p: Weights, batch: int) -> Tensor:
    """-> (B,Q,D): normalised, without position."""
    return layer_norm(p, "Qformer.bert.embeddings.LayerNorm", p["query_tokens"]).expand(batch, -1, -1)


def run_layers(
    p: Weights,
    hidden: Tensor,
    num_queries: int,
    mask: Tensor,
    num_heads: int,
    memory: Tensor | None = None,
    memory_mask: Tensor | None = None,
    past: Cache | None = None,
) -> tuple[Tensor, Cache]:
    """hidden (B,L,D): `num_queries` queries, then text. mask: as `self_bias`; memory (B,M,W), memory_mask (B,M).

    Returns the last hidden states and each layer's self-attention keys and values.
    """
    cache = []
    i = 0
    while f"Qformer.bert.encoder.layer.{i}.attention.self.query.weight" in p:
        layer = f"Qformer.bert.encoder.layer.{i}"
        keys = heads(linear(p, f"{layer}.attention.self.key", hidden), num_heads)
        values = heads(linear(p, f"{layer}.attention.self.value", hidden), num_heads)
        if past is not None:
            keys, values = torch.cat([past[i][0], keys], 2), torch.cat([past[i][1], values], 2)
        cache.append((keys, values))
        hidden = attention(p, f"{layer}.attention", hidden, keys, values, self_bias(mask, hidden.dtype))
        queries, text = hidden[:, :num_queries], hidden[:, num_queries:]
        if num_queries and f"{layer}.crossattention.self.query.weight" in p:
            keys = heads(linear(p, f"{layer}.crossattention.self.key", memory), num_heads)
            values = heads(linear(p, f"{layer}.crossattention.self.value", memory), num_heads)
            bias = cross_bias(memory_mask, hidden.dtype)
            queries = attention(p, f"{layer}.crossattention", queries, keys, values, bias)
        hidden = torch.cat([feed_forward(p, layer, "_query", queries), feed_forward(p, layer, "", text)], 1)
        i += 1
    return hidden, cache


def text_pass(p: Weights, input_ids: Tensor, attention_mask: Tensor, num_heads: int) -> Tensor:
    """Text alone, pads hidden -> (B,L,D)."""
    return run_layers(p, embed_text(p, input_ids), 0, attention_mask, num_heads)[0]


def query_pass(p: Weights, memory: Tensor, memory_mask: Tensor, num_heads: int) -> tuple[Tensor, Cache]:
    """Queries alone, reading memory (B,M,W) where memory_mask (B,M) is 1 -> (B,Q,D) and the keys and values."""
    queries = embed_queries(p, len(memory))
    mask = torch.ones(queries.shape[:2], device=memory.device)
    return run_layers(p, queries, queries.shape[1], mask, num_heads, memory, memory_mask)


def joint_pass(
    p: Weights, memory: Tensor, memory_mask: Tensor, input_ids: Tensor, attention_mask: Tensor, num_heads: int
) -> Tensor:
    """Queries and text attending to each other, queries reading memory -> the queries' part (B,Q,D)."""
    queries = embed_queries(p, len(memory))
    num_queries = queries.shape[1]
    mask = torch.cat([torch.ones_like(attention_mask[:, :1]).expand(-1, num_queries), attention_mask], 1)
    hidden = torch.cat([queries, embed_text(p, input_ids)], 1)
    return run_layers(p, hidden, num_queries, mask, num_heads, memory, memory_mask)[0][:, :num_queries]


def word_logits(p: Weights, input_ids: Tensor, attention_mask: Tensor, queries: Cache, num_heads: int) -> Tensor:
    """Text attending to the queries, through their keys and values, and to earlier text -> (B,L,V)."""
    length, num_queries = input_ids.shape[1], queries[0][0].shape[2]
    causal = torch.ones(length, length, device=input_ids.device).tril() * attention_mask[:, None]
    mask = torch.cat([causal.new_ones(len(input_ids), length, num_queries), causal], 2)
    hidden, _ = run_layers(p, embed_text(p, input_ids), 0, mask, num_heads, past=queries)
    name = "Qformer.cls.predictions"
    hidden = F.gelu(linear(p, f"{name}.transform.dense", hidden))
    hidden = layer_norm(p, f"{name}.transform.LayerNorm", hidden)
    return hidden @ p["Qformer.bert.embeddings.word_embeddings.weight"].T + p[f"{name}.bias"]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, ignore_index=-100, label_smoothing=LABEL_SMOOTHING)


def pretraining(
    p: Weights,
    latents: Tensor,
    codes: Tensor,
    input_ids: Tensor,
    attention_mask: Tensor,
    neg_motion_idx: Tensor,
    neg_text_idx: Tensor,
    num_heads: int,
) -> dict[str, Tensor]:
    """`LaMP.forward` from the motion encoder's latents (B,N,code_dim), the VQ codes (B,N) and chosen negatives (B,).

    Returns every intermediate and loss under the names used by the parity fixtures.
    """
    r = {}
    own = torch.arange(len(latents), device=latents.device)
    r["motion_embeds"] = memory = latents @ p["motion_projection"]
    everything = torch.ones(memory.shape[:2], dtype=torch.int64, device=memory.device)

    # Contrastive: each passes alone; a text is compared with the query that fits it best.
    r["query_hidden"], query_cache = query_pass(p, memory, everything, num_heads)
    r["motion_feats"] = F.normalize(linear(p, "motion_proj", r["query_hidden"]), dim=-1)
    r["motion_re_feats"] = F.normalize(r["motion_feats"].mean(1), dim=-1)
    r["text_hidden"] = text_pass(p, input_ids, attention_mask, num_heads)
    r["text_feat"] = F.normalize(linear(p, "text_proj", r["text_hidden"][:, 0]), dim=-1)
    r["sim_q2t"] = torch.einsum("iqe,je->ijq", r["motion_feats"], r["text_feat"])
    r["sim_t2q"] = r["sim_q2t"].transpose(0, 1)
    r["logits_m2t"] = p["temp"] * r["sim_q2t"].max(-1)[0]
    r["logits_t2m"] = p["temp"] * r["sim_t2q"].max(-1)[0]
    r["loss_p2t"] = cross_entropy(r["logits_m2t"], own)
    r["loss_t2p"] = cross_entropy(r["logits_t2m"], own)
    r["loss_ptc"] = (r["loss_p2t"] + r["loss_t2p"]) / 2

    # Matching: the pairs, then each text with a wrong motion, then each motion with a wrong text.
    r["weights_t2p"] = r["logits_t2m"].softmax(1)
    r["weights_p2t"] = r["logits_m2t"].softmax(1)
    motion, text = torch.cat([own, neg_motion_idx, own]), torch.cat([own, own, neg_text_idx])
    r["itm_input_ids"] = input_ids[text]
    r["itm_attention_mask"] = F.pad(attention_mask[text], (r["query_hidden"].shape[1], 0), value=1)
    queries = joint_pass(p, memory[motion], everything[motion], input_ids[text], attention_mask[text], num_heads)
    r["itm_hidden_mean"] = queries.mean(1)
    r["itm_logits"] = linear(p, "itm_head", queries).mean(1)
    r["itm_labels"] = torch.cat([torch.ones_like(own), torch.zeros_like(own), torch.zeros_like(own)])
    r["loss_ptm"] = F.cross_entropy(r["itm_logits"], r["itm_labels"])

    # Motion-grounded text generation: [DEC] and the words so far predict the next word.
    dec_id = len(p["Qformer.bert.embeddings.word_embeddings.weight"]) - 1
    r["decoder_input_ids"] = torch.cat([torch.full_like(input_ids[:, :1], dec_id), input_ids[:, 1:]], 1)
    r["lm_labels"] = r["decoder_input_ids"].masked_fill(attention_mask == 0, -100)
    r["lm_logits"] = word_logits(p, r["decoder_input_ids"], attention_mask, query_cache, num_heads)
    r["loss_lm"] = cross_entropy(r["lm_logits"][:, :-1].flatten(0, 1), r["lm_labels"][:, 1:].flatten())

    # Text-grounded motion generation: queries that read the embedded text predict the codes, one each.
    r["text_embeds"] = embed_text(p, r["decoder_input_ids"]) @ p["text_projection"]
    r["gen_hidden"], _ = query_pass(p, r["text_embeds"], attention_mask, num_heads)
    r["gen_logits"] = r["gen_hidden"] @ p["motion_cls.weight"].T
    r["loss_gen"] = cross_entropy(r["gen_logits"].flatten(0, 1), codes.flatten())

    r["loss"] = r["loss_ptc"] + r["loss_ptm"] + r["loss_lm"] + r["loss_gen"]
    return r


def text_condition(p: Weights, input_ids: Tensor, attention_mask: Tensor, num_heads: int) -> dict[str, Tensor]:
    """Condition of the masked transformer, from ids padded to the released length; `cond_vector` is (B,D).

    The queries attend to every position, pads included.
    """
    r = {"text_hidden": text_pass(p, input_ids, attention_mask, num_heads)}
    r["text2former"] = linear(p, "text2former", r["text_hidden"])
    r["query_hidden"], _ = query_pass(p, r["text2former"], torch.ones_like(attention_mask), num_heads)
    r["cond_vector"] = r["query_hidden"].mean(1)
    return r
