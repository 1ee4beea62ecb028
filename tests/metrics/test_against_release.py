"""The measures against numbers of the released code."""

import numpy as np
import pytest

from lamp_fast.metrics.captions import bleu, caption_scores, cider, rouge_l, words
from lamp_fast.metrics.distributions import diversity, frechet_distance, moments, multimodality
from lamp_fast.metrics.interval import confidence_interval
from lamp_fast.metrics.matching import distances, matching
from lamp_fast.metrics.protocols import RANKS, all_pairs, released_wrapper, small_batches, threshold
from lamp_fast.metrics.reconstruction import mpjpe


@pytest.fixture
def t2m(golden):
    return golden("metrics_t2m")


def test_frechet_distance(t2m):
    for name in ("gt", "pred"):
        mean, covariance = moments(t2m[f"{name}_emb"].numpy())
        t2m.check(f"{name}_mu", mean)
        t2m.check(f"{name}_cov", covariance)
    pairs = {"fid": ("gt_emb", "pred_emb"), "fid_self": ("gt_emb", "gt_emb"), "fid_small": ("small_a", "small_b")}
    for name, (a, b) in pairs.items():
        t2m.check(name, frechet_distance(t2m[a].numpy(), t2m[b].numpy()))


def test_diversity_and_multimodality(t2m):
    t2m.check("diversity", diversity(t2m["gt_emb"], t2m["diversity_first"], t2m["diversity_second"]))
    t2m.check("multimodality", multimodality(t2m["mm_emb"].numpy(), t2m["mm_first"], t2m["mm_second"]))


def test_r_precision_and_matching_distance(t2m):
    group = len(t2m["dist_group0"])
    text, motion = (t2m[name][:group].numpy() for name in ("text_emb", "gt_emb"))
    t2m.check("dist_group0", distances(text, motion))
    for name, motions in (("real", "gt_emb"), ("pred", "pred_emb")):
        top = len(t2m[f"rprec_{name}"])
        result = matching(t2m["text_emb"].numpy(), t2m[motions].numpy(), top, group)
        t2m.check(f"top{top}_counts_{name}", result.hits)
        t2m.check(f"rprec_{name}", result.precision)
        t2m.check(f"matching_{name}", result.distance)


def test_confidence_interval_and_mpjpe(t2m):
    interval = confidence_interval(t2m["repeat_values"])
    t2m.check("ci_mean", np.float64(interval.mean))
    t2m.check("ci_conf", np.float64(interval.half_width))
    true, predicted = (t2m[name] - t2m[name][:, :1] for name in ("joints_gt", "joints_pred"))
    t2m.check("mpjpe", [mpjpe(a, b) for a, b in zip(true, predicted)])


@pytest.fixture(params=["three_references", "one_reference"])
def captions(request, golden_texts):
    """-> captions, references, what the released packages say of them."""
    data, meta = golden_texts("metrics_caption")
    references = data["references"]
    if request.param == "one_reference":
        references = [own[:1] for own in references]
    return data["predictions"], references, meta["results"][request.param]


def test_bleu(captions):
    made, references, expected = captions
    tokens, reference_tokens = [words(text) for text in made], [[words(r) for r in own] for own in references]
    for order in (1, 4):
        score = expected["nlgmetricverse"][f"BLEU_{order}"]["score"]
        assert bleu(tokens, reference_tokens, order) == pytest.approx(score, abs=1e-6)
        assert caption_scores(made, references)[f"BLEU@{order}"] == pytest.approx(100 * score, abs=1e-4)
    for order in (1, 2, 3, 4):  # a caption has no reference shorter than its closest one here
        score = expected["pycocoevalcap"][f"Bleu_{order}"]
        assert bleu(tokens, reference_tokens, order) == pytest.approx(score, abs=1e-6)


def test_rouge_l(captions):
    made, references, expected = captions
    np.testing.assert_allclose(rouge_l(made, references), expected["rougeL_per_pair"], atol=1e-6)
    mean = expected["rougeL_mean_of_best_reference"]
    assert caption_scores(made, references)["ROUGE-L"] == pytest.approx(100 * mean, abs=1e-4)


def test_cider(captions):
    made, references, expected = captions
    tokens, reference_tokens = [words(text) for text in made], [[words(r) for r in own] for own in references]
    assert cider(tokens, reference_tokens).mean() == pytest.approx(expected["pycocoevalcap"]["CIDEr"], abs=1e-6)
    released = expected["nlgmetricverse"]["CIDEr"]
    if "scores" in released:  # with one reference each, the package scores the first caption alone
        per_pair = cider([text.split() for text in made], [[r.split() for r in own] for own in references])
        np.testing.assert_allclose(per_pair, released["scores"], atol=1e-6)
        assert caption_scores(made, references)["CIDEr"] == pytest.approx(100 * released["score"], abs=1e-4)


def test_tokens(golden_texts):
    data, meta = golden_texts("metrics_caption")
    assert [words(text) for text in data["predictions"]] == meta["results"]["tokens_bleu"]["predictions"]


def test_retrieval_of_the_released_wrapper(golden):
    fixture = golden("retrieval")
    text, motion = fixture["text_emb"].numpy(), fixture["motion_emb"].numpy()
    group = len(fixture["dist_m2t_0"])
    fixture.check("dist_m2t_0", distances(motion[:group], text[:group]))
    for name, (queries, candidates) in {"m2t": (motion, text), "t2m": (text, motion)}.items():
        result = matching(queries, candidates, len(fixture[f"rprec_{name}"]), group)
        fixture.check(f"top10_{name}_counts", result.hits)
        fixture.check(f"rprec_{name}", result.precision)
        fixture.check("matching_score", result.distance)
    both = released_wrapper(text, motion, group)
    assert both.motion_to_text.recall == {k: pytest.approx(100 * fixture["rprec_m2t"][k - 1].item()) for k in RANKS}


def test_retrieval_of_tmr(golden):
    fixture = golden("retrieval")
    similarity, sentences = fixture["sim_matrix"].numpy(), fixture["sent_emb"].numpy()
    results = {
        "full": all_pairs(similarity),
        "threshold_0.95": threshold(similarity, sentences @ sentences.T),
        "batches_32_tmr_shuffle": small_batches(similarity),
        "batches_32_in_order": small_batches(similarity, shuffle=False),
    }
    for name, result in results.items():
        expected = fixture.scalars["tmr"][name]
        for way, ranking in (("t2m", result.text_to_motion), ("m2t", result.motion_to_text)):
            assert {f"{way}/R{k:02}": round(v, 2) for k, v in ranking.recall.items()}.items() <= expected.items()
            assert ranking.median_rank == expected[f"{way}/MedR"], name
            assert ranking.candidates == expected[f"{way}/len"]
