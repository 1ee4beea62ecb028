"""Searching by words and by motion, windows, the matching head, previews; and lamp-mini on captured motion."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lamp_fast import LampError, MotionRetriever
from lamp_fast.cli.main import main
from lamp_fast.models.lamp import Lamp
from lamp_fast.motion.features import joints_to_features
from lamp_fast.motion.skeleton import HUMANML3D
from lamp_fast.readers import read_motion


@pytest.fixture
def index(retriever, write, tmp_path):
    for number in range(6):
        write(f"clip{number}", number, frames=40 + 37 * number)
    retriever.update(tmp_path / "clips", tmp_path / "index")
    return retriever.open(tmp_path / "index")


def features(joints, *arguments):
    return joints_to_features(joints(*arguments), HUMANML3D)


@pytest.mark.parametrize("frames,starts", [(4, [0]), (48, [0]), (51, [0]), (52, [0, 1]), (100, [0, 6, 12, 13])])
def test_windows_overlap_by_half_and_reach_the_end(retriever, joints, frames, starts):
    windows = retriever.encode([features(joints, 0, frames + 1)])[0]
    assert [window.start for window in windows] == starts
    assert windows[-1].start + windows[-1].tokens == frames // 4
    for window in windows:
        assert len(window.latents) == len(window.codes) == window.tokens <= 12
        assert window.embedding.shape == (16,) and np.linalg.norm(window.embedding) == pytest.approx(1, abs=1e-5)


def test_motions_differ(retriever, joints):
    vectors = np.concatenate([retriever.embed_motion(features(joints, n, 40)) for n in range(5)])
    assert (vectors @ vectors.T)[~np.eye(5, dtype=bool)].max() < 0.999


def test_neighbours_in_a_batch_change_nothing(retriever, joints):
    motions = [features(joints, n, frames) for n, frames in enumerate((8, 30, 120))]
    for alone, together in zip(motions, retriever.encode(motions), strict=True):
        np.testing.assert_allclose(retriever.embed_motion(alone), [w.embedding for w in together], atol=1e-5)


def test_embeddings_are_those_of_the_model(retriever, lamp, joints):
    motion = features(joints, 3, 45)
    with torch.no_grad():
        latents = lamp.tokenizer.encode(torch.from_numpy(motion)[None])
        expected = lamp.language_motion.motion_embedding(latents, None)
    np.testing.assert_allclose(retriever.embed_motion(motion), expected, atol=1e-5)


def test_a_motion_finds_itself_and_where_it_is(index, joints):
    whole = features(joints, 5, 225)
    first = index.search(whole, k=3)[0]
    assert first.clip == "clip5.npz" and first.score == pytest.approx(1, abs=1e-4)
    assert len(index.search(whole, k=100)) == 6
    window = next(m for m in index.search(whole[4 * 24 : 4 * 36], k=6) if m.clip == "clip5.npz")
    assert 0 <= window.start <= 44 * 0.2 and window.seconds == pytest.approx(2.4)


def test_motions_come_in_many_kinds(index, joints, tmp_path):
    motion = read_motion(tmp_path / "clips/clip3.npz")
    kinds = [tmp_path / "clips/clip3.npz", motion, joints_to_features(motion.joints, motion.skeleton)]
    found = [index.search(kind, k=2) for kind in kinds]
    assert found[0] == found[1] == found[2] and found[0][0].clip == "clip3.npz"


def test_words_rank_by_the_cosine_of_the_best_window(index, retriever):
    matches = index.search("the person walks", k=6)
    scores = index.contents.embeddings @ retriever.embed_texts(["the person walks"])[0]
    for match in matches:
        own = index.contents.owners == index.contents.clips.index(match.clip)
        assert match.score == pytest.approx(scores[own].max(), abs=1e-6)
        at = np.flatnonzero(own)[scores[own].argmax()]
        assert match.start == pytest.approx(index.contents.starts[at] * 0.2)
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)


def test_matching_head_judges_the_first(index):
    plain, judged = (index.search("the person waves", k=6, rerank=n) for n in (0, 4))
    assert {m.clip for m in plain[:4]} == {m.clip for m in judged[:4]} and judged[4:] == plain[4:]
    together = [m.score + 0.01 * np.log(m.matching / (1 - m.matching)) for m in judged[:4]]
    assert together == sorted(together, reverse=True)
    assert all(0 <= m.matching <= 1 for m in judged[:4])


def test_words_for_a_motion(index, retriever, joints):
    motion = features(joints, 2, 130)
    candidates = ["the person walks", "a person waves", "the person turns left"]
    found = index.texts(motion, candidates=candidates, rerank=2)
    assert {m.text for m in found} == set(candidates) and None not in (found[0].matching, found[1].matching)
    scores = retriever.embed_texts(candidates) @ retriever.embed_motion(motion).T
    for match in found:
        assert match.score == pytest.approx(scores[candidates.index(match.text)].max(), abs=1e-6)
    with pytest.raises(LampError, match="no clip in .* has a text"):
        index.texts(motion)


def test_previews_are_of_the_window(index):
    for match in index.search("the person walks", k=6):
        assert index.preview(match).shape == (round(match.seconds * 20), 22, 3)


@pytest.mark.parametrize(
    "query,options,complaint",
    [
        ("", {}, "the prompt is empty"),
        ("xyzzy", {}, "no word of the prompt"),
        ("walks " * 99, {}, "tokens, the model reads at most"),
        ("the person walks", {"k": 0}, "0 results were asked for"),
        ("the person walks", {"rerank": -1}, "rerank is -1"),
        (np.zeros((8, 263)), {"rerank": 3}, "compares a motion with a text"),
        (np.zeros((3, 263)), {}, "has 3 frames, expected at least 4"),
        (np.zeros((8, 7)), {}, "expected"),
        (np.full((8, 263), np.nan), {}, "NaN"),
        (np.full((8, 263), 1e38), {}, "so large"),
    ],
)
def test_bad_queries(index, query, options, complaint):
    with pytest.raises(LampError, match=complaint):
        index.search(query, **options)


def test_released_padding_and_a_motion_encoder_of_its_own(lamp, write, joints, tmp_path):
    config = replace(
        lamp.config,
        language_motion=replace(lamp.config.language_motion, padding="released"),
        motion_encoder=lamp.config.tokenizer,
    )
    torch.manual_seed(0)
    released = Lamp(config, lamp.text_tokenizer, lamp.mean, lamp.std)
    torch.nn.init.normal_(released.tokenizer.codebook.vectors)
    retriever = MotionRetriever(released)
    write("a", 1, 30), write("b", 2, 80)
    retriever.update(tmp_path / "clips", tmp_path / "index")
    index = retriever.open(tmp_path / "index")
    motion = features(joints, 1, 29)  # whole tokens: released padding would read the rest
    with torch.no_grad():
        expected = released.language_motion.motion_embedding(*released.read_motions([torch.from_numpy(motion)]))
    np.testing.assert_allclose(retriever.embed_motion(motion), expected, atol=1e-5)
    for match in index.search("the person walks", rerank=2):
        assert match.matching is not None and len(index.preview(match)) == round(match.seconds * 20)


def test_another_model_has_another_hash(retriever, lamp):
    assert MotionRetriever(lamp).about["model"] == retriever.about["model"]
    weight = lamp.language_motion.text_proj.weight
    with torch.no_grad():
        weight[0, 0] += 1
        other = MotionRetriever(lamp).about["model"]
        weight[0, 0] -= 1
    assert other != retriever.about["model"]


def test_commands(model_folder, write, joints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = ["--model", str(model_folder), "--device", "cpu"]
    for number in range(3):
        write(f"clip{number}", number, 60)
    (tmp_path / "clips/bad.bvh").write_text("?")
    assert main(["index", "clips", *model]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "lamp-index: 3 clips (3 encoded, 0 unchanged, 0 removed, 1 left out)"
    assert "lamp-fast: left out: " in err and "bad.bvh" in err

    assert main(["search", "the person walks <b>", "--count", "2", "--rerank", "2", "--page", "p.html", *model]) == 0
    table = capsys.readouterr().out
    assert len(table.splitlines()) == 3 and "clip" in table
    page = (tmp_path / "p.html").read_text()
    assert page.count("data:image/gif;base64,") == 2 and "<b></h1>" not in page and "&lt;b&gt;" in page

    assert main(["search", "clips/clip1.npz", "--json", *model]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["matches"][0]["clip"] == "clip1.npz" and found["matches"][0]["score"] > 0.999

    (tmp_path / "words.txt").write_text("a person waves\n\nthe person walks\n")
    assert main(["search", "clips/clip1.npz", "--find", "texts", "--texts", "words.txt", *model]) == 0
    assert "the person walks" in capsys.readouterr().out
    for wrong in (
        ["search", "nowhere.bvh"],
        ["search", "clip.fbx"],
        ["search", "the person walks", "--index", "nowhere"],
        ["search", "the person walks", "--find", "texts"],
        ["search", "the person walks", "--texts", "words.txt"],
        ["search", "clips/clip1.npz", "--find", "texts", "--texts", "nowhere.txt"],
        ["search", "clips/clip1.npz", "--find", "texts", "--page", "p.html"],
        ["index", "nowhere"],
    ):
        assert main([*wrong, *model]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_lamp_mini_agrees_with_the_evaluation(shared_data, tmp_path):
    """R@1 by distinct text of searches is that of `lamp-fast eval retrieval`, but for windows and pooling."""
    from lamp_fast.data import open_dataset
    from lamp_fast.data.encoded import encode_clips
    from lamp_fast.metrics.retrieval import text_to_motion_recall

    retriever = MotionRetriever.from_pretrained("lamp-mini", "cpu")
    retriever.update(shared_data, tmp_path / "index", split="test")
    index = retriever.open(tmp_path / "index")
    dataset, lamp = open_dataset(shared_data, "test"), retriever.lamp
    assert index.contents.texts == dataset.texts and sorted(index.contents.clips) == sorted(c.id for c in dataset.clips)
    found = [text in index.search(text, k=1)[0].texts for text in dataset.texts]
    clips = encode_clips(lamp.tokenizer, dataset, lamp.mean.numpy(), lamp.std.numpy())
    expected = text_to_motion_recall(lamp.language_motion, lamp.text_tokenizer, clips).recall_at_1
    # 54 of the 275 clips are longer than a window; the evaluation reads the beginning of those.
    assert np.mean(found) == pytest.approx(expected, abs=0.02)
