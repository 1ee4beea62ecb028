"""Released files, as they lie on disk, through `lamp-fast convert` to the released numbers."""

import argparse
import math
import pickle
import random
import re
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lamp_fast import LampError
from lamp_fast.checkpoints.evaluator import load_evaluator
from lamp_fast.checkpoints.folder import load_lamp, load_model
from lamp_fast.checkpoints.released.convert import Options, convert_released
from lamp_fast.checkpoints.released.statistics import read_statistics, with_bias
from lamp_fast.checkpoints.released.words import read_words
from lamp_fast.cli.main import main
from lamp_fast.config import LampConfig, TokenizerConfig
from lamp_fast.data import Caption
from lamp_fast.metrics.embed import EvaluatorEmbedder, LampEmbedder
from lamp_fast.metrics.matching import matching
from lamp_fast.models.decoding import DecodingOptions, generate


def released_file(fixture):
    return fixture.folder / fixture.meta["checkpoints"][0]["file"]


def read(file):
    return torch.load(file, map_location="cpu", weights_only=True)


def feature_dim(pretraining):
    return pretraining["vq_model.vqvae.encoder.model.0.weight"].shape[1]


def write_statistics(folder, dim, mean=0.0, std=1.0):
    """As the features of fixtures come: normalised already. The root and contacts of a data set's own are divided."""
    folder.mkdir(exist_ok=True)
    deviation = np.full(dim, std, np.float32)
    deviation[:4] *= 5
    deviation[-4:] *= 5
    np.save(folder / "Mean.npy", np.full(dim, mean, np.float32))
    np.save(folder / "Std.npy", deviation)
    return folder


@pytest.fixture
def vocabulary(golden):
    return golden("lamp_pretrain").folder / "vocab.txt"


@pytest.mark.parametrize("name", ["vq_t2m", "vq_kit"])
def test_vq(name, golden, tmp_path):
    fixture = golden(name)
    made = convert_released([released_file(fixture)], tmp_path / "m")
    account = made.accounts[0]
    assert made.parts == ["tokenizer"] and made.lacking
    assert account.used == sorted(fixture.state_dict("net", "vq_model")) and not (account.dropped or account.left_over)
    model = load_model(tmp_path / "m")
    motion = next(n for n, t in fixture.meta["tensors"].items() if t["role"] == "input" and len(t["shape"]) == 3)
    suffix = motion.removeprefix("motion")
    with torch.no_grad():
        latents = model.encode(fixture[motion])
        codes = model.quantize(latents)
        fixture.check(f"codes{suffix}", codes.reshape(fixture[f"codes{suffix}"].shape))


def wrap(names):
    """`module.` as DataParallel puts it, also around an inner model."""
    return {f"module.{name.replace('vqvae.', 'vqvae.module.', 1)}": tensor for name, tensor in names.items()}


def with_training_state(names):
    sums = {"vqvae.quantizer.code_sum": torch.ones(3, 2), "vqvae.quantizer.code_count": torch.ones(3)}
    return names | sums


STYLES = {
    "tar": lambda net, folder: torch.save({"vq_model": net, "ep": 3, "best_fid": np.float64(0.1)}, folder / "a.tar"),
    "pth": lambda net, folder: torch.save({"net": net}, folder / "a.pth"),
    "state dict": lambda net, folder: torch.save(net, folder / "a.pt"),
    "DataParallel": lambda net, folder: torch.save({"net": wrap(net)}, folder / "a.pth"),
    "safetensors": lambda net, folder: save_file(net, folder / "a.safetensors"),
    "safetensors by another name": lambda net, folder: save_file(net, folder / "a.tar"),
    "another by its name": lambda net, folder: torch.save({"net": net}, folder / "a.safetensors"),
    "codebook sums": lambda net, folder: torch.save({"vq_model": with_training_state(net)}, folder / "a.tar"),
    "half": lambda net, folder: torch.save({"net": {n: t.half() for n, t in net.items()}}, folder / "a.pth"),
}


@pytest.mark.parametrize("style", STYLES)
def test_styles(style, golden, tmp_path):
    net = golden("vq_t2m").state_dict("net", "vq_model")
    STYLES[style](net, tmp_path)
    file = next(tmp_path.glob("a.*"))
    made = convert_released([file], tmp_path / "m")
    account, tensors = made.accounts[0], load_model(tmp_path / "m").state_dict()
    assert len(account.used) == len(net) and not account.left_over
    assert list(account.dropped.values()) == ([list(with_training_state({}))[::-1]] if "sums" in style else [])
    codebook = net["vqvae.quantizer.codebook"]
    # One half-precision rounding in that style.
    torch.testing.assert_close(tensors["codebook.vectors"], codebook, rtol=2**-11 if style == "half" else 0, atol=1e-7)


@pytest.fixture
def reader(golden, vocabulary, tmp_path):
    """The fixture of retrieval, and its model from the pretraining's file."""
    fixture = golden("retrieval")
    statistics = write_statistics(tmp_path / "statistics", fixture["motions_i8"].shape[-1])
    heads = fixture.config["qformer"]["heads"]
    made = convert_released(
        [released_file(fixture)],
        tmp_path / "m",
        vocabulary=vocabulary,
        statistics=statistics,
        options=Options(language_motion_heads=heads),
    )
    return fixture, made, load_lamp(tmp_path / "m")


def test_pretraining_to_retrieval(reader):
    fixture, made, lamp = reader
    assert made.parts == ["tokenizer", "motion_encoder", "language_motion"] and not made.lacking
    assert made.accounts[0].missing == ["condition_projection.bias", "condition_projection.weight"]
    assert not made.accounts[0].left_over
    assert lamp.config.generator is None and lamp.config.motion_encoder and lamp.config.reads_motion
    embedder = LampEmbedder(lamp, "lamp")
    text = embedder.texts([Caption(text) for text in fixture.meta["strings"]["texts"]])
    motion = embedder.motions(list(fixture["motions_i8"]))
    fixture.check("text_emb", text)
    fixture.check("motion_emb", motion)
    result = matching(motion, text, len(fixture["rprec_m2t"]), len(fixture["dist_m2t_0"]))
    fixture.check("top10_m2t_counts", result.hits)


def test_a_reader_cannot_generate(reader, tmp_path, capsys):
    assert (
        main(["generate", "a person walks", "--model", str(tmp_path / "m"), "--output", str(tmp_path / "a.npz")]) == 2
    )
    assert "no generator" in capsys.readouterr().err


def vq_of(codes, fixture, folder):
    """A VQ-VAE of as many codes as the generator knows."""
    net = dict(fixture.state_dict("net", "vq_model"))
    book = net["vqvae.quantizer.codebook"]
    net["vqvae.quantizer.codebook"] = book.repeat(math.ceil(codes / len(book)), 1)[:codes]
    torch.save({"vq_model": net, "ep": 1}, folder / "net_best_fid.tar")
    return folder / "net_best_fid.tar"


@pytest.mark.parametrize("vq", ["vq_t2m", "vq_kit"])
def test_text_to_motion(vq, golden, vocabulary, tmp_path):
    fixture, condition = golden("generate"), golden("text_condition")
    sizes = fixture.config
    tokenizer_file = vq_of(sizes["num_tokens"], golden(vq), tmp_path)
    dim = read(tokenizer_file)["vq_model"]["vqvae.encoder.model.0.weight"].shape[1]
    shutil.copy(vocabulary, tmp_path)
    write_statistics(tmp_path / "meta", dim)
    made = convert_released(
        [tokenizer_file, released_file(golden("masked_transformer"))],
        tmp_path / "m",
        options=Options(sizes["qformer"]["heads"], sizes["num_heads"]),
    )
    assert not made.lacking and not made.accounts[1].left_over
    lamp = load_lamp(tmp_path / "m")
    assert lamp.config.dataset == {263: "humanml3d", 251: "kit"}[dim]
    assert not lamp.config.reads_motion and lamp.config.length is None
    with torch.no_grad():
        condition.check("cond_vector", lamp.condition(condition.config["texts"]))
    for prefix, run in sizes["runs"].items():
        rows = run.get("samples", range(len(sizes["texts"])))
        top_k = math.ceil(round((1 - run["topk_filter_thres"]) * sizes["num_tokens"], 6))
        with torch.no_grad():
            ids = generate(
                lamp.generator,
                lamp.condition([sizes["texts"][row] for row in rows]),
                fixture[f"m_lens_{prefix}"],
                DecodingOptions(run["timesteps"], run["cond_scale"], run["temperature"], top_k),
                noise=fixture[f"noise_{prefix}"],
            )
        fixture.check(f"{prefix}_final_ids", ids)


def test_a_length_estimator_stands_beside_a_model(golden, vocabulary, tmp_path):
    fixture = golden("lamp_pretrain")
    made = convert_released(
        [released_file(fixture), released_file(golden("length_estimator"))],
        tmp_path / "m",
        vocabulary=vocabulary,
        statistics=write_statistics(tmp_path / "meta", feature_dim(fixture.state_dict("motion_qformer"))),
        options=Options(fixture.config["qformer"]["heads"]),
    )
    assert not made.lacking and load_lamp(tmp_path / "m").config.reads_motion
    assert load_model(tmp_path / "m/length_estimator").config.num_classes > 1


def test_parts_are_put_together_later(golden, vocabulary, tmp_path):
    sizes = golden("generate").config
    options = Options(sizes["qformer"]["heads"], sizes["num_heads"])
    made = convert_released([released_file(golden("masked_transformer"))], tmp_path / "parts", options=options)
    assert made.parts == ["language_motion", "generator"] and len(made.lacking) == 3
    vq = vq_of(sizes["num_tokens"], golden("vq_t2m"), tmp_path)
    convert_released([vq], tmp_path / "vq")
    codes = load_model(tmp_path / "vq").config.code_dim
    language_motion = load_model(tmp_path / "parts/language_motion").config.code_dim
    parts = [tmp_path / "vq", tmp_path / "parts/generator", tmp_path / "parts/language_motion"]
    dim = load_model(tmp_path / "vq").config.feature_dim
    rest = {"vocabulary": vocabulary, "statistics": write_statistics(tmp_path / "meta", dim)}
    if codes == language_motion:
        assert not convert_released(parts, tmp_path / "m", **rest).lacking
    else:
        with pytest.raises(LampError, match="code_dim must be the same"):
            convert_released(parts, tmp_path / "m", **rest)


@pytest.fixture
def evaluator_folder(golden, tmp_path):
    fixture = golden("evaluator")
    write_statistics(tmp_path / "meta", fixture.config["dim_pose"])
    std = np.load(tmp_path / "meta/Std.npy")
    std[:4], std[-4:] = 1, 1  # an evaluator's are taken as they are
    np.save(tmp_path / "meta/Std.npy", std)
    words = {"unk": 2, "walk": 0, "man": 1, "sos": 3, "eos": 4}
    (tmp_path / "glove").mkdir()
    vectors = np.random.default_rng(0).normal(size=(5, fixture.config["dim_word"]))
    np.save(tmp_path / "glove/our_vab_data.npy", vectors)
    (tmp_path / "glove/our_vab_idx.pkl").write_bytes(pickle.dumps(words))
    made = convert_released(
        [released_file(fixture)], tmp_path / "m", statistics=tmp_path / "meta", words=tmp_path / "glove"
    )
    assert made.parts == ["evaluator"] and not (made.lacking or made.accounts[0].left_over)
    return fixture, words, vectors, tmp_path / "m"


def test_evaluator(evaluator_folder):
    fixture, words, vectors, folder = evaluator_folder
    evaluator = load_evaluator(folder)
    embedder = EvaluatorEmbedder(evaluator)
    for word, row in words.items():
        np.testing.assert_array_equal(evaluator.vectors[evaluator.words.index(word)], vectors[row].astype(np.float32))
    order, lengths = fixture["align_idx"], fixture["m_lens"]
    motions = embedder.motions([m[:n] for m, n in zip(fixture["motions"], lengths)])[order]
    with torch.no_grad():
        padded = torch.nn.functional.pad(fixture["motions"], (0, 0, 0, 196 - fixture["motions"].shape[1]))
        expected = evaluator.model.motion_embedding(padded, lengths)[order]
    np.testing.assert_allclose(motions, expected, atol=1e-5)  # rounding
    text = embedder.texts([Caption("", ("man/NOUN", "walk/VERB", "blorb/NOUN"))])
    rows = [evaluator.words.index(w) for w in ("sos", "man", "walk", "unk", "eos")]
    speech = torch.eye(fixture.config["dim_pos_ohot"])[[14, 1, 12, 14, 14]]  # walk is an act, whatever its tag
    with torch.no_grad():
        expected = evaluator.model.text_embedding(evaluator.vectors[rows][None], speech[None], torch.tensor([5]))
    np.testing.assert_allclose(text, expected, atol=1e-5)
    with pytest.raises(LampError, match="no tagged words"):
        embedder.texts([Caption("a man walks")])


def test_every_tensor_can_be_listed(golden, tmp_path, capsys):
    fixture = golden("masked_transformer")
    words = ["convert", str(released_file(fixture)), "--output", str(tmp_path / "m"), "--names"]
    words += ["--language-motion-heads", str(fixture.config["qformer"]["heads"])]
    assert main([*words, "--generator-heads", str(fixture.config["num_heads"])]) == 0
    told = capsys.readouterr().out.splitlines()
    listed = [line.strip() for line in told if line.startswith("    ")]
    missing = listed[-len(listed) + len(fixture.state_dict("t2m_transformer")) :]
    assert sorted(listed) == sorted([*fixture.state_dict("t2m_transformer"), *missing])
    assert "matching_head.weight" in missing and not any("left over" in line for line in told)


def test_length_estimator_is_recognised(golden, tmp_path, capsys):
    file = released_file(golden("length_estimator"))
    assert main(["convert", str(file), "--output", str(tmp_path / "m")]) == 0
    assert "MoMask's length estimator" in capsys.readouterr().out
    assert load_model(tmp_path / "m").config.num_classes == golden("length_estimator").config["output_size"]


class Trap:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


def missing_tensor(net, folder):
    torch.save({"net": {n: t for n, t in net.items() if "decoder.model.0.bias" not in n}}, folder / "bad.pth")


def wrong_shape(net, folder):
    torch.save({"net": net | {"vqvae.decoder.model.0.bias": torch.zeros(3)}}, folder / "bad.pth")


CODEBOOK = "vqvae.quantizer.codebook"


def zipped_text(net, folder):
    with zipfile.ZipFile(folder / "bad.pth", "w") as archive:
        archive.writestr("readme.txt", "hello")


def tar_of_nothing(net, folder):
    with tarfile.open(folder / "bad.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("vq.tar"))


def cut(net, folder, zipped=True):
    torch.save({"net": net}, folder / "whole", _use_new_zipfile_serialization=zipped)
    (folder / "bad.pth").write_bytes((folder / "whole").read_bytes()[:5000])


SPOILT = {
    "missing": (missing_tensor, "lacks decoder.input.bias"),
    "shape": (wrong_shape, r"decoder.input.bias has shape \(3,\)"),
    "codebook": (
        lambda net, f: torch.save({"net": net | {CODEBOOK: torch.tensor(1.0)}}, f / "bad.pth"),
        "a shape that",
    ),
    "no codes": (
        lambda net, f: torch.save({"net": net | {CODEBOOK: net[CODEBOOK][:0]}}, f / "bad.pth"),
        r"codebook.vectors holds 0 numbers",
    ),
    "whole numbers": (
        lambda net, f: torch.save({"net": {n: (100 * t).to(torch.int8) for n, t in net.items()}}, f / "bad.pth"),
        r"numbers of torch.int8, expected floating-point",
    ),
    "cut": (cut, "the beginning of a checkpoint, cut short after 5,000 bytes"),
    "cut old format": (lambda net, folder: cut(net, folder, zipped=False), "a pickle of 5,000 bytes, cut short"),
    "empty": (lambda net, folder: (folder / "bad.pth").touch(), "bad.pth is empty"),
    "page": (lambda net, folder: (folder / "bad.pth").write_text("<html>not found</html>"), "bad.pth is a web page"),
    "pointer": (
        lambda net, folder: (folder / "bad.pth").write_text("version https://git-lfs.github.com/spec/v1\noid 1\n"),
        "bad.pth is a pointer of Git LFS",
    ),
    "text": (lambda net, folder: (folder / "bad.pth").write_text("error 404"), "bad.pth is 9 bytes of text"),
    "bytes": (lambda net, folder: (folder / "bad.pth").write_bytes(b"\0\xff" * 40), "80 bytes of something else"),
    "zip": (zipped_text, "a zip archive of readme.txt"),
    "tar": (tar_of_nothing, "an archive to be unpacked"),
    "trap": (lambda net, folder: torch.save({"net": Trap(folder / "trapped")}, folder / "bad.pth"), "other objects"),
    "pickle": (lambda net, f: (f / "bad.pth").write_bytes(pickle.dumps(Trap(f / "trapped"))), "other objects|damaged"),
    "settings": (
        lambda net, f: torch.save({"net": net, "args": argparse.Namespace()}, f / "bad.pth"),
        r"other objects \(argparse.Namespace\)",
    ),
    "other model": (lambda net, f: torch.save({"fc.weight": torch.zeros(2, 3)}, f / "bad.pth"), r"fc.weight \(2, 3\)"),
    "no tensors": (lambda net, folder: torch.save({"ep": 1}, folder / "bad.pth"), "no named tensors"),
    "NaN": (
        lambda net, f: torch.save({"net": {n: t * torch.nan for n, t in net.items()}}, f / "bad.pth"),
        "holds NaN",
    ),
    "absent": (lambda net, folder: None, "there is no file"),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_what_is_wrong_is_said_in_one_sentence(spoil, golden, tmp_path):
    change, message = SPOILT[spoil]
    change(golden("vq_t2m").state_dict("net", "vq_model"), tmp_path)
    with pytest.raises(LampError, match=message) as raised:
        convert_released([tmp_path / "bad.pth"], tmp_path / "m")
    assert "\n" not in str(raised.value) and "bad.pth" in str(raised.value).replace("model to be saved", "bad.pth")
    assert not (tmp_path / "m").exists() and not (tmp_path / "trapped").exists()


CHECKPOINTS = ("vq_t2m", "vq_kit", "lamp_pretrain", "masked_transformer", "captioning", "evaluator", "length_estimator")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_files_cut_anywhere_or_with_bytes_changed(name, golden, tmp_path):
    """A sentence, or a model where the change fell on a weight; no other error, and nothing is left behind."""
    fixture = golden(name)
    whole = (fixture.folder / fixture.meta["checkpoints"][0]["file"]).read_bytes()
    draw, bad = random.Random(0), tmp_path / "bad.pth"
    for size in (1, 60, len(whole) // 2, len(whole) - 200, len(whole) - 1):
        bad.write_bytes(whole[:size])
        with pytest.raises(LampError, match="bad.pth is ") as raised:
            convert_released([bad], tmp_path / "m")
        assert "\n" not in str(raised.value) and not (tmp_path / "m").exists()
    for _ in range(4):
        changed = bytearray(whole)
        for _ in range(draw.choice((1, 8, 200))):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        bad.write_bytes(changed)
        try:
            convert_released([bad], tmp_path / "m")
        except LampError as error:
            assert "\n" not in str(error)
        shutil.rmtree(tmp_path / "m", ignore_errors=True)


def test_files_that_do_not_belong_together(golden, tmp_path):
    fixture = golden("masked_transformer")
    t2m, options = released_file(fixture), Options(fixture.config["qformer"]["heads"], fixture.config["num_heads"])
    pretraining = read(released_file(golden("lamp_pretrain")))
    queries = pretraining["motion_qformer"]["query_tokens"]
    pretraining["motion_qformer"]["query_tokens"] = torch.cat([queries, queries], 1)
    torch.save(pretraining, tmp_path / "pretraining.tar")
    with pytest.raises(LampError, match="belong to different models"):
        convert_released([t2m, tmp_path / "pretraining.tar"], tmp_path / "m", options=options)
    with pytest.raises(LampError, match="second generator"):
        convert_released([t2m, t2m], tmp_path / "m", options=options)
    with pytest.raises(LampError, match="by itself"):
        convert_released([released_file(golden(n)) for n in ("vq_t2m", "evaluator")], tmp_path / "m")
    for heads in (10007, 0):
        with pytest.raises(LampError, match=f"{heads} heads do not divide"):
            convert_released([t2m], tmp_path / "m", options=Options(heads))
    assert not (tmp_path / "m").exists()


def test_an_encoder_of_other_features(golden, vocabulary, tmp_path):
    """The VQ-VAE of one data set beside the pretraining of the other."""
    fixture = golden("lamp_pretrain")
    pretraining = read(released_file(fixture))
    net = pretraining["motion_qformer"]
    dim = feature_dim(net)
    net["motion_encoder.model.0.weight"] = net["motion_encoder.model.0.weight"][:, 1:].clone()
    torch.save(pretraining, tmp_path / "pretraining.tar")
    with pytest.raises(LampError, match=rf"feature_dim must be the same in every part, found \({dim}, {dim - 1}\)"):
        convert_released(
            [tmp_path / "pretraining.tar"],
            tmp_path / "m",
            vocabulary=vocabulary,
            statistics=write_statistics(tmp_path / "meta", dim),
            options=Options(fixture.config["qformer"]["heads"]),
        )
    with pytest.raises(LampError, match=r"frames per token must be the same in every part, found \(4, 8\)"):
        LampConfig(tokenizer=TokenizerConfig(down_blocks=3))


def test_pretraining_and_generator_make_one_model(golden, vocabulary, tmp_path):
    """The generator's file repeats the Q-Former; where it differs, the generator's is taken, and that is said."""
    pretraining = read(released_file(golden("lamp_pretrain")))
    net = pretraining["motion_qformer"]
    width, codes = net["query_tokens"].shape[-1], net["vq_model.vqvae.quantizer.codebook"].shape[0]
    t2m = {n: t for n, t in net.items() if n.startswith(("Qformer.", "query_tokens"))}
    memory = net["text_projection"].shape[1]
    t2m |= {"text2former.weight": torch.randn(memory, width), "text2former.bias": torch.randn(memory)}
    source = golden("masked_transformer").state_dict("t2m_transformer")
    t2m |= {n: t for n, t in source.items() if re.match("input_process|position_enc|seqTrans|output_process", n)}
    latent, code_dim = source["input_process.poseEmbedding.weight"].shape
    t2m |= {"token_emb.weight": torch.randn(codes + 2, code_dim)}
    t2m |= {"cond_emb.weight": torch.randn(latent, width), "cond_emb.bias": torch.randn(latent)}
    t2m |= {"output_process.poseFinal.weight": torch.randn(codes, latent)}
    t2m |= {"output_process.poseFinal.bias": torch.randn(codes)}
    files = {"h3d-qformer.tar": pretraining, "t2m.tar": {"t2m_transformer": t2m, "ep": 1}}
    rest = {
        "vocabulary": vocabulary,
        "statistics": write_statistics(tmp_path / "meta", feature_dim(net)),
        "options": Options(
            golden("lamp_pretrain").config["qformer"]["heads"], golden("masked_transformer").config["num_heads"]
        ),
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)
    made = convert_released([tmp_path / name for name in files], tmp_path / "m", **rest)
    assert not made.lacking and not any(account.missing for account in made.accounts)
    assert not any("differs" in note for account in made.accounts for note in account.notes)
    lamp = load_lamp(tmp_path / "m")
    assert lamp.config.reads_motion and lamp.config.generator.condition_dim == width

    t2m["query_tokens"] = t2m["query_tokens"] + 1
    torch.save(files["t2m.tar"], tmp_path / "t2m.tar")
    made = convert_released([tmp_path / name for name in files], tmp_path / "m", **rest)
    assert any("differs" in note for note in made.accounts[1].notes)
    torch.testing.assert_close(load_lamp(tmp_path / "m").language_motion.query_tokens.data, t2m["query_tokens"])


def test_statistics_say_whether_they_are_divided(tmp_path):
    p, dim = np.array([0.8, 0.9, 0.8, 0.9]), 263
    mean, std = np.zeros(dim, np.float32), np.ones(dim, np.float32)
    mean[-4:], std[-4:] = p, np.sqrt(p * (1 - p)).mean()
    np.save(tmp_path / "Mean.npy", mean)
    np.save(tmp_path / "Std.npy", std)
    divided = with_bias(*read_statistics(tmp_path))
    assert divided[:4].tolist() == pytest.approx([0.2] * 4) and divided[-1] == pytest.approx(std[-1] / 5)
    assert torch.equal(with_bias(torch.from_numpy(mean), divided), divided)


def test_shared_statistics_are_those_of_the_data_set(shared_data):
    mean, std = read_statistics(shared_data / "humanml3d")
    assert torch.allclose(with_bias(mean, std)[:4], std[:4] / 5)


@pytest.mark.parametrize("spoil", ["missing", "pickled", "other"])
def test_statistics_and_words_that_cannot_be_used(spoil, tmp_path):
    if spoil == "pickled":
        np.save(tmp_path / "mean.npy", np.array([{}], dtype=object), allow_pickle=True)
    if spoil == "other":
        np.save(tmp_path / "mean.npy", np.zeros(3))
        np.save(tmp_path / "std.npy", np.zeros(4))
        np.save(tmp_path / "our_vab_data.npy", np.zeros((2, 3)))
        (tmp_path / "our_vab_idx.pkl").write_bytes(pickle.dumps({"unk": 0, "walk": 7}))
    for use in (read_statistics, read_words):
        with pytest.raises(LampError):
            use(tmp_path)
