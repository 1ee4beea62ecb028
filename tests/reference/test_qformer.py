import pytest
import torch

from lamp_fast.checkpoints.released.language_motion import config_from_released, convert
from lamp_fast.models.language_motion import LanguageMotionModel, PretrainingOptions
from lamp_fast.reference import qformer


def test_pretraining_reproduces_every_recorded_number(golden):
    g = golden("lamp_pretrain")
    weights = g.state_dict("motion_qformer")
    for name in g.scalars["grad_norm"]:
        weights[name].requires_grad_()
    inputs = ("enc", "motion_targets", "input_ids", "attention_mask", "neg_motion_idx", "neg_text_idx")
    result = qformer.pretraining(weights, *(g[name] for name in inputs), num_heads=g.config["qformer"]["heads"])
    recorded = {name for name, tensor in g.meta["tensors"].items() if tensor["role"] == "output"}
    computed_elsewhere = {"enc", "motion_targets"} | {name for name in recorded if name.startswith("grad_")}
    assert set(result) == recorded - computed_elsewhere
    for name, value in result.items():
        g.check(name, value.detach())

    result["loss"].backward()
    for name in (name for name in recorded if name.startswith("grad_")):
        g.check(name, weights[name.removeprefix("grad_")].grad)
    for name, norm in g.scalars["grad_norm"].items():
        # The fixture states rtol 1e-4 and atol 1e-5 for float32 gradient norms.
        assert weights[name].grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-5), name


def test_text_condition(golden):
    g = golden("text_condition")
    weights, num_heads = g.state_dict("t2m_transformer"), g.config["qformer"]["heads"]
    with torch.no_grad():
        result = qformer.text_condition(weights, g["input_ids"], g["attention_mask"], num_heads)
        memory_mask = g["attention_mask"]
        exact, _ = qformer.query_pass(weights, result["text2former"], memory_mask, num_heads)
    for name, value in result.items():
        g.check(name, value)
    g.check("variant_pad_masked_cond_vector", exact.mean(1))


def released_weights(width=15, layers=4, memory=11, code_dim=7, codes=13, embed=9, queries=7, vocabulary=29):
    """Random float64 weights under the released names, in odd sizes."""
    linears = {"text_proj": (embed, width), "motion_proj": (embed, width), "itm_head": (2, width)}
    linears["text2former"] = (memory, width)
    linears["Qformer.cls.predictions.transform.dense"] = (width, width)
    norms = ["Qformer.bert.embeddings.LayerNorm", "Qformer.cls.predictions.transform.LayerNorm"]
    for i in range(layers):
        layer = f"Qformer.bert.encoder.layer.{i}"
        attentions = {"attention": width, "crossattention": memory} if i % 3 == 0 else {"attention": width}
        for name, source in attentions.items():
            linears[f"{layer}.{name}.self.query"] = (width, width)
            linears[f"{layer}.{name}.self.key"] = linears[f"{layer}.{name}.self.value"] = (width, source)
            linears[f"{layer}.{name}.output.dense"] = (width, width)
            norms.append(f"{layer}.{name}.output.LayerNorm")
        for kind, inner in (("", 21), ("_query", 17)):
            linears[f"{layer}.intermediate{kind}.dense"] = (inner, width)
            linears[f"{layer}.output{kind}.dense"] = (width, inner)
            norms.append(f"{layer}.output{kind}.LayerNorm")
    shapes = {
        "query_tokens": (1, queries, width),
        "temp": (),
        "motion_projection": (code_dim, memory),
        "text_projection": (width, memory),
        "motion_cls.weight": (codes, width),
        "Qformer.bert.embeddings.word_embeddings.weight": (vocabulary, width),
        "Qformer.bert.embeddings.position_embeddings.weight": (12, width),
        "Qformer.cls.predictions.bias": (vocabulary,),
    }
    for name, (out, into) in linears.items():
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (out, into), (out,)
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)
    draw = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=draw, dtype=torch.float64) * 0.5 for name, shape in shapes.items()}


def test_the_model_agrees_in_odd_sizes():
    """Without fixtures, in float64: the model and the reference compute the same numbers and gradients."""
    weights = released_weights()
    config = config_from_released(weights, num_heads=5)
    assert (config.cross_attention_every, config.intermediate_size, config.query_intermediate_size) == (3, 21, 17)
    model = LanguageMotionModel(config).double().eval()
    model.load_state_dict(convert(weights))
    draw = torch.Generator().manual_seed(1)
    latents = torch.randn(3, 7, 7, generator=draw, dtype=torch.float64)
    codes = torch.randint(13, (3, 7), generator=draw)
    ids = torch.randint(1, 28, (3, 6), generator=draw)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
    motions, texts = torch.tensor([2, 0, 1]), torch.tensor([1, 1, 0])

    weights["query_tokens"].requires_grad_()
    expected = qformer.pretraining(weights, latents, codes, ids, mask, motions, texts, num_heads=5)
    options = PretrainingOptions.released()
    losses = model(latents, codes, None, ids, mask, options=options, neg_motion_idx=motions, neg_text_idx=texts)
    # float64; the masks differ by terms of exp(-10000) = 0.
    close = {"atol": 1e-12, "rtol": 1e-12}
    torch.testing.assert_close(losses.contrastive, expected["loss_ptc"], **close)
    torch.testing.assert_close(losses.matching, expected["loss_ptm"], **close)
    torch.testing.assert_close(losses.text_generation, expected["loss_lm"], **close)
    torch.testing.assert_close(losses.motion_generation, expected["loss_gen"], **close)
    losses.total.backward()
    expected["loss"].backward()
    torch.testing.assert_close(model.query_tokens.grad, weights["query_tokens"].grad, **close)

    condition = qformer.text_condition(weights, ids, mask, num_heads=5)["cond_vector"]
    torch.testing.assert_close(model.condition(ids, mask), condition, **close)
