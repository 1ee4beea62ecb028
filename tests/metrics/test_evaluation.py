"""Whole evaluations of a tiny model, and what their reports say."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from lamp_fast import LampError
from lamp_fast.checkpoints.evaluator import Evaluator, save_evaluator
from lamp_fast.checkpoints.folder import save_model
from lamp_fast.cli.main import main
from lamp_fast.config import EvaluatorConfig
from lamp_fast.data import Clip, MotionDataset
from lamp_fast.metrics.captioning import measure_captioning
from lamp_fast.metrics.embed import LampEmbedder
from lamp_fast.metrics.generation import GenerationOptions, clips_to_measure, measure_generation
from lamp_fast.metrics.interval import Interval
from lamp_fast.metrics.published import captioning_rows, generation_rows
from lamp_fast.metrics.report import Report, statistics_hash
from lamp_fast.models.evaluator import MotionTextEvaluator
from lamp_fast.motion.skeleton import HUMANML3D, KIT
from lamp_fast.pipelines.motion_to_text import MotionCaptioner

TEXTS = ("a person walks forward", "the person waves", "a person turns left")
TAGS = (("a/DET", "person/NOUN", "walks/VERB"), ("person/NOUN", "waves/VERB"), ("turns/VERB", "left/ADJ"))
FEW = GenerationOptions(replications=2, num_inference_steps=2, multimodality_texts=2, generations=3, pairs=2)


def clips(count=7, dim=263):
    draw = np.random.default_rng(0)
    sizes = [40 + 3 * i for i in range(count)]
    return [
        Clip(str(i), draw.normal(size=(n, dim)).astype(np.float32), (TEXTS[i % 3],), (TAGS[i % 3],))
        for i, n in enumerate(sizes)
    ]


@pytest.fixture
def measured(tiny_lamp):
    return clips_to_measure(MotionDataset(clips(), HUMANML3D), tiny_lamp.max_tokens)


def test_clips_are_cut_to_what_a_model_makes():
    lengths = [39, 40, 47, 400]
    data = [Clip(str(n), np.zeros((n, 263), np.float32), ("a",)) for n in lengths]
    made = clips_to_measure(MotionDataset(data, HUMANML3D), 49)
    assert [len(clip.features) for clip in made] == [40, 44, 196]
    assert len(clips_to_measure(MotionDataset([*data, data[0]], KIT), 49)) == 5
    with pytest.raises(LampError, match="1 clips have 40 frames"):
        clips_to_measure(MotionDataset(data[:2], HUMANML3D), 49)


def test_generation_is_measured(tiny_lamp, measured):
    embedder = LampEmbedder(tiny_lamp, "tiny")
    result = measure_generation(tiny_lamp, measured, embedder, FEW)
    assert result.motions == 2 * (7 + 2 * 3) and result.rate > 0
    assert set(result.generated) == {
        *("Top1", "Top2", "Top3", "FID", "MM-Dist", "Diversity", "MModality"),
        *("foot skating", "penetration mm", "jerk m/s³"),
    }
    assert all(np.isfinite(interval.mean) for interval in result.generated.values())
    assert result.generated["FID"].mean > 0 and "FID" not in result.real
    again = measure_generation(tiny_lamp, measured, embedder, FEW)
    assert again.generated == result.generated and again.real == result.real


def test_motions_do_not_depend_on_their_order(tiny_lamp, measured):
    embedder = LampEmbedder(tiny_lamp, "tiny")
    motions = [torch.from_numpy(clip.features) for clip in measured]
    rows = embedder.motions(motions)
    np.testing.assert_allclose(embedder.motions(motions[::-1])[::-1], rows, atol=1e-5)  # rounding of other batches
    np.testing.assert_allclose(embedder.motions(motions[3:4])[0], rows[3], atol=1e-5)


def test_captions_are_measured(tiny_lamp, measured):
    result = measure_captioning(MotionCaptioner(tiny_lamp), measured, LampEmbedder(tiny_lamp, "tiny"), 3)
    assert len(result.captions) == 7 and all(result.captions)
    assert result.captioned["R@1"].replications == 3 and result.captioned["BLEU@4"].replications == 1
    assert set(result.real) == {"R@1", "R@3"}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "HumanML3D"
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    for clip in clips():
        np.save(folder / "new_joint_vecs" / f"{clip.id}.npy", clip.features)
        line = f"{clip.texts[0]}#{' '.join(clip.tagged[0])}#0.0#0.0\n"
        (folder / "texts" / f"{clip.id}.txt").write_text(line)
    (folder / "test.txt").write_text("\n".join(clip.id for clip in clips()))
    for name in ("Mean", "Std"):
        np.save(folder / f"{name}.npy", np.ones(263, np.float32))
    return folder


@pytest.fixture
def evaluator(tmp_path):
    torch.manual_seed(0)
    config = EvaluatorConfig(movement_hidden=8, movement_dim=8, motion_hidden=8, text_hidden=8, embed_dim=6, word_dim=5)
    words = ["unk", "sos", "eos", "person", "walks"]
    parts = Evaluator(MotionTextEvaluator(config), torch.zeros(263), torch.ones(263), words, torch.randn(5, 5))
    save_evaluator(tmp_path / "evaluator", parts)
    return tmp_path / "evaluator"


def evaluate(capsys, *arguments):
    code = main(["eval", *map(str, arguments), "--replications", "2"])
    return code, capsys.readouterr()


def test_by_the_evaluator_of_guo_et_al(tiny_folder, data, evaluator, capsys):
    options = ("--data", data, "--model", tiny_folder, "--evaluator", evaluator, "--json", "--multimodality-texts", 2)
    code, printed = evaluate(capsys, "generation", *options)
    record = json.loads(printed.out)
    assert code == 0 and record["warnings"] == []
    ours = record["measured"][str(tiny_folder)]
    assert {"FID", "MModality", "LaMP Top1"} <= ours.keys() and ours["FID"]["replications"] == 2
    assert record["clips"] == record["clips_in_split"] == 7 and record["guidance_scale"] == 4
    assert record["published"]["LaMP-T2M"]["FID"] == 0.032 and len(record["statistics"]) == 16
    code, printed = evaluate(capsys, "captioning", *options[:-2])
    assert code == 2 and "parts of speech" in printed.err


@pytest.mark.parametrize("task", ["generation", "captioning"])
def test_by_a_model_of_ours(task, tiny_folder, data, capsys):
    options = ["--data", data, "--model", tiny_folder, "--markdown", "--clips", 5]
    if task == "generation":
        options += ["--multimodality-texts", 0]
    code, printed = evaluate(capsys, task, *options)
    assert code == 0
    assert "the evaluator is our own" in printed.out and "only some clips" in printed.out
    assert "| LaMP-" in printed.out and f"| {tiny_folder} |" in printed.out


def test_retrieval_by_protocols(tiny_folder, data, capsys):
    assert main(["eval", "retrieval", "--protocols", "--data", str(data), "--model", str(tiny_folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["measured"]
    ways = ("text to motion", "motion to text")
    names = ("all", "equal texts", "dissimilar", "batches of 32", "released")
    assert set(rows) == {f"{name}, {way}" for name in names for way in ways}
    for way in ways:
        # Three texts, so that a motion of the same text is nearer than its own at times.
        assert rows[f"equal texts, {way}"]["R@1"] >= rows[f"all, {way}"]["R@1"]
        assert rows[f"all, {way}"]["R@10"] == 100 and rows[f"all, {way}"]["of"] == 7
        assert "MedR" not in rows[f"released, {way}"]


def test_requests_that_do_not_fit(tiny_folder, tiny_lamp, data, tmp_path, capsys):
    save_model(tmp_path / "part", tiny_lamp.length)
    for options, message in (
        (("--clips", "1"), "clips is 1"),
        (("--evaluator", tmp_path / "part"), "describes a 'length'"),
        (("--evaluator", tmp_path / "none"), "no model"),
        (("--split", "dance"), "no split 'dance'"),
    ):
        code, printed = evaluate(capsys, "generation", "--data", data, "--model", tiny_folder, *options)
        assert code == 2 and message in printed.err


def test_bert_score_says_what_is_missing(tiny_folder, data, capsys):
    if find_spec("bert_score"):
        pytest.skip("bert-score is installed")
    code, printed = evaluate(capsys, "captioning", "--data", data, "--model", tiny_folder, "--bert-score")
    assert code == 2 and "pip install 'lamp-fast[captions]'" in printed.err


def test_a_report_in_three_forms():
    report = Report(
        "T", ["a", "b"], {"ours": {"a": Interval(1.0, 0.5, 2)}}, {"theirs": {"b": 3.0}}, {"clips": 7}, ["w."]
    )
    assert report.terminal().splitlines()[2:5] == [
        "                              a  b",
        "theirs (published)               3",
        "ours                1.000±0.500   ",
    ]
    assert "| ours | 1.000±0.500 |  |" in report.markdown() and "> **Warning:** w." in report.markdown()
    assert json.loads(report.json())["measured"]["ours"]["a"] == {"mean": 1.0, "half_width": 0.5, "replications": 2}


def test_published_rows_are_whole():
    for dataset in ("humanml3d", "kit"):
        rows = generation_rows(dataset)
        assert rows["LaMP-T2M"].keys() > {"Top1", "MModality"} and "MModality" not in rows["Real"]
        assert all(0 < v for row in rows.values() for v in row.values())
    assert captioning_rows("kit") == {} and captioning_rows("humanml3d")["LaMP-M2T"]["BLEU@4"] == 13.0


def test_statistics_hash_tells_statistics_apart():
    a, b = torch.zeros(7), torch.ones(7)
    assert statistics_hash(a, b) == statistics_hash(a.clone(), b) != statistics_hash(b, a)
