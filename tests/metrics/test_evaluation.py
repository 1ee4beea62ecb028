"""Whole evaluations of a tiny model, and what their reports say."""

import copy
import dataclasses
import json
import re
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lamp_fast import LampError
from lamp_fast.checkpoints.evaluator import Evaluator, save_evaluator
from lamp_fast.checkpoints.folder import save_lamp, save_model
from lamp_fast.cli.main import main
from lamp_fast.config import EvaluatorConfig
from lamp_fast.data import Clip, MotionDataset
from lamp_fast.metrics.captioning import measure_captioning
from lamp_fast.metrics.embed import LampEmbedder
from lamp_fast.metrics.generation import GenerationOptions, clips_to_measure, measure_generation
from lamp_fast.metrics.interval import Interval
from lamp_fast.metrics.published import captioning_rows, generation_rows
from lamp_fast.metrics.report import Report, statistics_hash
from lamp_fast.metrics.words import _tagger, tag
from lamp_fast.models.evaluator import MotionTextEvaluator
from lamp_fast.models.lamp import Lamp
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


def test_a_text_without_a_known_word_is_read_as_a(tiny_lamp, measured):
    options, embedder = dataclasses.replace(FEW, multimodality_texts=0), LampEmbedder(tiny_lamp, "own")
    texts = {"strange": ("\u732b", ""), "plain": ("a", "a")}
    made = {
        name: [dataclasses.replace(clip, texts=(said[i % 2],)) for i, clip in enumerate(measured)]
        for name, said in texts.items()
    }
    strange, plain = (measure_generation(tiny_lamp, some, embedder, options) for some in made.values())
    assert strange.generated == plain.generated


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


def test_lamps_own_precision_beside_another_evaluator(tiny_lamp, measured):
    options = dataclasses.replace(FEW, multimodality_texts=0)
    result = measure_generation(tiny_lamp, measured, LampEmbedder(copy.deepcopy(tiny_lamp), "its copy"), options)
    assert result.generated["LaMP Top1"] == result.generated["Top1"]


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
    assert set(result.real) == {"R@1", "R@3", "MM-Dist"}


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


@pytest.mark.parametrize("task", ["generation", "captioning"])
def test_by_a_model_of_ours(task, tiny_folder, data, capsys):
    options = ["--data", data, "--model", tiny_folder, "--markdown", "--clips", 5]
    if task == "generation":
        options += ["--multimodality-texts", 0]
    code, printed = evaluate(capsys, task, *options)
    assert code == 0
    assert "the evaluator is our own" in printed.out and "only some clips" in printed.out
    assert "| LaMP-" in printed.out and f"| {tiny_folder} |" in printed.out


def test_retrieval(tiny_folder, data, capsys):
    code, printed = evaluate(capsys, "retrieval", "--data", data, "--model", tiny_folder, "--json")
    rows = json.loads(printed.out)["measured"]
    ways = ("text to motion", "motion to text")
    names = ("all", "equal texts", "dissimilar", "batches of 32", "released")
    distinct = "3 distinct texts, text to motion"
    assert code == 0 and set(rows) == {f"{name}, {way}" for name in names for way in ways} | {distinct, "by chance"}
    assert rows["by chance"]["R@1"]["mean"] == pytest.approx(100 / 3) and rows[distinct]["of"]["mean"] == 7
    for way in ways:
        # Three texts, so that a motion of the same text is nearer than its own at times.
        assert rows[f"equal texts, {way}"]["R@1"]["mean"] >= rows[f"all, {way}"]["R@1"]["mean"]
        assert rows[f"all, {way}"]["R@10"]["mean"] == 100 and rows[f"all, {way}"]["of"]["mean"] == 7
        assert rows[f"batches of 32, {way}"]["R@1"]["replications"] == 2
        assert "MedR" not in rows[f"released, {way}"]


def test_retrieval_with_an_encoder_of_its_own(tiny_lamp, tmp_path, data, capsys):
    """As the released pretraining has one: what it reads decides, not the tokenizer's encoder."""
    config = dataclasses.replace(tiny_lamp.config, motion_encoder=tiny_lamp.config.tokenizer)
    torch.manual_seed(1)
    lamp = Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean, tiny_lamp.std)
    lamp.language_motion.load_state_dict(tiny_lamp.language_motion.state_dict())
    save_lamp(tmp_path / "own", lamp)
    torch.nn.init.zeros_(lamp.tokenizer.encoder.output.weight)
    save_lamp(tmp_path / "other-tokenizer", lamp)
    tables = []
    for name in ("own", "other-tokenizer"):
        code, printed = evaluate(capsys, "retrieval", "--data", data, "--model", tmp_path / name, "--json")
        assert code == 0
        tables.append(json.loads(printed.out)["measured"])
    assert tables[0] == tables[1]


def test_tokenizer(tiny_folder, data, evaluator, capsys):
    options = ("--data", data, "--model", tiny_folder, "--evaluator", evaluator, "--json")
    code, printed = evaluate(capsys, "tokenizer", *options)
    record = json.loads(printed.out)
    rows = record["measured"]
    assert code == 0 and record["warnings"] == [] and len(record["statistics"]) == 16
    assert {"Top1", "FID", "MM-Dist", "Diversity"} <= rows[str(tiny_folder)].keys() and "FID" not in rows["Real"]
    assert rows[f"{tiny_folder}, whole clips"]["clips"]["mean"] == 7
    assert rows[f"{tiny_folder}, first 196 frames"]["MPJPE mm"]["mean"] > 0


@pytest.mark.parametrize("task", ["tokenizer", "retrieval", "captioning", "generation"])
def test_kit_ml_as_published(task, tiny_lamp, tmp_path, capsys):
    """The other layout: 21 joints, clips of 24 frames, texts of parts of clips."""
    folder, draw = tmp_path / "KIT-ML", np.random.default_rng(1)
    for name in ("new_joint_vecs", "texts"):
        (folder / name).mkdir(parents=True)
    names = [f"{i:05d}" for i in range(6)]
    for i, name in enumerate(names):
        np.save(folder / "new_joint_vecs" / f"{name}.npy", draw.normal(size=(30 + 9 * i, 251)).astype(np.float32))
        part = "a person waves#person/NOUN waves/VERB#0.5#2.0\n" if i == 5 else ""
        (folder / "texts" / f"{name}.txt").write_text(f"{TEXTS[i % 3]}#{' '.join(TAGS[i % 3])}#0.0#0.0\n{part}")
    (folder / "test.txt").write_text("\n".join([*names, "lost"]))
    for name in ("Mean", "Std"):
        np.save(folder / f"{name}.npy", np.ones(251, np.float32))
    tokenizer = dataclasses.replace(tiny_lamp.config.tokenizer, feature_dim=251)
    config = dataclasses.replace(tiny_lamp.config, dataset="kit", tokenizer=tokenizer)
    save_lamp(tmp_path / "kit", Lamp(config, tiny_lamp.text_tokenizer, torch.ones(251), torch.ones(251)))

    options = ["--multimodality-texts", 2] if task == "generation" else []
    code, printed = evaluate(capsys, task, "--data", folder, "--model", tmp_path / "kit", "--json", *options)
    record = json.loads(printed.out)
    assert code == 0 and record["clips"] == 7  # one more for the part
    assert task in ("tokenizer", "captioning") or any("LaMP" in name for name in record["published"])
    if task == "generation":
        assert record["guidance_scale"] == 2 and record["hours_for_humanml3d_20_times"] > 0
    code, printed = evaluate(capsys, task, "--data", folder, "--model", "lamp-mini", *options)
    assert code == 2 and "the model knows humanml3d, the data set is kit" in printed.err


def test_by_a_language_model(tiny_folder, tiny_lamp, tiny_language_model, data, tmp_path, capsys):
    pytest.importorskip("peft")
    from lamp_fast.checkpoints.captioner import open_language_model, save_captioner
    from lamp_fast.config import CaptionerConfig
    from lamp_fast.models.llm_captioner import LlmCaptioner

    folder = tmp_path / "captioner"
    config = CaptionerConfig(tiny_lamp.config.language_motion, str(tiny_language_model), max_words=8)
    save_captioner(folder, LlmCaptioner(config, *open_language_model(tiny_language_model)))
    options = ("--data", data, "--model", tiny_folder, "--json")
    code, printed = evaluate(capsys, "captioning", *options, "--captioner", folder)
    record = json.loads(printed.out)
    assert code == 0 and record["captioner"] == str(folder)
    code, printed = evaluate(capsys, "captioning", *options)
    assert json.loads(printed.out)["measured"] != record["measured"]


@pytest.fixture
def spacy(monkeypatch):
    """A tagger that calls every word a noun, and strips an s from its base form."""

    def nlp(text):
        words = re.findall(r"\w+|\S", text)
        return [SimpleNamespace(text=w, pos_="NOUN", lemma_=w.removesuffix("s")) for w in words]

    module = SimpleNamespace(load=lambda name, disable: nlp)
    monkeypatch.setitem(sys.modules, "spacy", module)
    _tagger.cache_clear()
    yield module
    _tagger.cache_clear()


def test_captions_are_tagged_for_the_evaluator_of_guo_et_al(spacy, tiny_folder, data, evaluator, capsys):
    assert tag("walks, turns-left 2") == ("walk/NOUN", "turnsleft/NOUN")
    assert tag("his left arms") == ("hi/NOUN", "left/NOUN", "arm/NOUN")
    options = ("--data", data, "--model", tiny_folder, "--evaluator", evaluator, "--json")
    code, printed = evaluate(capsys, "captioning", *options)
    record = json.loads(printed.out)
    assert code == 0 and record["warnings"] == [] and record["measured"]["Real"].keys() == {"R@1", "R@3", "MM-Dist"}

    def missing(name, disable):
        raise OSError("no such model")

    spacy.load = missing
    _tagger.cache_clear()
    code, printed = evaluate(capsys, "captioning", *options)
    assert code == 2 and "python -m spacy download en_core_web_sm" in printed.err


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
