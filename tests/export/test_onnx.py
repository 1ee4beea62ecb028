"""Models as ONNX files in onnxruntime: beside the model, and in a program that knows neither torch nor lamp_fast."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lamp_fast import LampError, LampPipeline
from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.cli.main import main
from lamp_fast.config import FRAMES_PER_TOKEN
from lamp_fast.models.decoding import DecodingOptions, generate
from lamp_fast.models.lamp import Lamp
from lamp_fast.motion.features import features_to_joints

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from lamp_fast.export.onnx import NAMES, export_onnx  # noqa: E402
from lamp_fast.export.onnx_graphs import TokensToJoints, graphs_of  # noqa: E402

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "onnx" / "generate.py"


@pytest.fixture(scope="module")
def program():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("lamp_onnx_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx") / "lamp-mini"
    return folder, export_onnx(load_lamp("lamp-mini"), folder)


@pytest.mark.parametrize("opset", [15, 17, 20])
def test_every_graph_is_the_model_at_every_length(tiny_lamp, tmp_path, opset):
    checked = export_onnx(tiny_lamp, tmp_path / "onnx", opset)
    assert [graph.name for graph in checked] == list(NAMES)
    assert all(graph.error < 1e-5 and graph.differing == 0 for graph in checked)  # float32, two layers
    assert all({1, 2, tiny_lamp.max_tokens} <= set(graph.lengths) for graph in checked)
    for name in NAMES:
        model = onnx.load(tmp_path / "onnx" / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert model.opset_import[0].version == opset
        used = {node.op_type for node in model.graph.node}
        assert not used & {"If", "Loop", "Scan", "RandomUniform", "RandomNormal"}
        assert opset >= 17 or "LayerNormalization" not in used
        # Fixed shapes: engines plan memory once.
        for value in [*model.graph.input, *model.graph.output]:
            assert all(d.dim_value > 0 for d in value.type.tensor_type.shape.dim), value.name


def by_reference(file):
    from onnx.reference import ReferenceEvaluator

    model = ReferenceEvaluator(str(file))
    return lambda feeds: model.run(None, feeds)


def by_openvino(file):
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda feeds: list(model(feeds).values())


@pytest.mark.parametrize("opened, opset", [(by_reference, 15), (by_openvino, 17)])
def test_other_runtimes(tiny_lamp, tmp_path, opened, opset):
    """The plain Python that defines ONNX, and OpenVINO: neither shares code with the runtime that the export asks."""
    export_onnx(tiny_lamp, tmp_path / "onnx", opset)
    for graph in graphs_of(tiny_lamp):
        run = opened(tmp_path / "onnx" / f"{graph.name}.onnx")
        for length in (1, 5, tiny_lamp.max_tokens):
            inputs = graph.example(length, torch.Generator().manual_seed(length))
            with torch.no_grad():
                expected = graph.by_the_model(*inputs)
            found = run({value.name: x.numpy() for value, x in zip(graph.inputs, inputs)})
            for right, got in zip(expected, found, strict=True):
                np.testing.assert_allclose(got, right.numpy(), rtol=1e-4, atol=1e-4)  # float32 in another order


@pytest.mark.parametrize("mode", ["full", "soft_causal", "causal"])
def test_attention_modes_and_released_padding(tiny_lamp, tmp_path, mode):
    config = dataclasses.replace(
        tiny_lamp.config,
        generator=dataclasses.replace(tiny_lamp.config.generator, attention_mode=mode, padding="released"),
        language_motion=dataclasses.replace(tiny_lamp.config.language_motion, padding="released"),
        motion_encoder=tiny_lamp.config.tokenizer,
        length=None,
    )
    lamp = Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean + 0.5, tiny_lamp.std * 2).eval()
    checked = export_onnx(lamp, tmp_path / "onnx")
    # Half a radian a frame for 48 frames: the path of the root adds up what rounding does to its turns.
    assert all(graph.error < 1e-4 and graph.differing == 0 for graph in checked)
    graphs = json.loads((tmp_path / "onnx" / "lamp.json").read_text())["graphs"]
    assert [value["name"] for value in graphs["text_condition"]["outputs"]] == ["condition"]


def test_kit_without_a_generator(tiny_lamp, tmp_path):
    config = dataclasses.replace(
        tiny_lamp.config,
        dataset="kit",
        tokenizer=dataclasses.replace(tiny_lamp.config.tokenizer, feature_dim=251),
        generator=None,
        length=None,
    )
    lamp = Lamp(config, tiny_lamp.text_tokenizer, torch.zeros(251), torch.ones(251)).eval()
    assert [graph.name for graph in export_onnx(lamp, tmp_path / "onnx")] == list(NAMES[2:])


def test_the_whole_of_lamp_mini(mini):
    _, checked = mini
    assert all(graph.error < 1e-4 and graph.differing == 0 for graph in checked)


@pytest.mark.parametrize("length", [1, 7, 49, None])
def test_another_program_makes_the_same_motion(mini, program, length):
    folder, _ = mini
    lamp, text = load_lamp("lamp-mini"), "A person raises the left hand, then waves."
    other = program.LampOnnx(folder)
    ids, mask = lamp.text_tokenizer([text], lamp.config.language_motion.max_text_tokens, pad_to_max=True)
    assert other.words(text) == {"input_ids": ids.tolist(), "attention_mask": mask.tolist()}

    condition = lamp.condition([text])
    predicted = int(lamp.length.predict(condition))
    n = length or predicted
    noise = torch.rand(10, lamp.max_tokens, lamp.config.generator.num_codes, generator=torch.Generator().manual_seed(3))
    options = DecodingOptions(num_inference_steps=10)
    expected = generate(lamp.generator, condition, [n], options, noise=noise[:, None, :n])
    with torch.no_grad():
        right = features_to_joints(lamp.decode(expected), lamp.skeleton)[0]
    joints, tokens = other.generate(text, length, noise=noise.numpy())
    assert len(tokens) == n and len(joints) == FRAMES_PER_TOKEN * n
    # A tie within float32 may fall the other way, and then what follows differs; it did in no case here.
    np.testing.assert_array_equal(tokens, expected[0].numpy())
    np.testing.assert_allclose(joints, right.numpy(), atol=1e-4)  # metres


def test_towers_find_what_the_index_finds(mini, program):
    folder, _ = mini
    lamp = load_lamp("lamp-mini")
    other = program.LampOnnx(folder)
    texts = ["a person walks forward", "a person bows", "a person waves with the right hand"]
    motions = [LampPipeline(lamp)(text, seconds=2 + i, seed=0).features for i, text in enumerate(texts)]
    with torch.no_grad():
        read = lamp.read_motions([torch.as_tensor(motion) for motion in motions])
        own = lamp.language_motion.motion_embedding(*read).numpy()
    frames = FRAMES_PER_TOKEN * lamp.max_tokens
    for row, (text, motion) in enumerate(zip(texts, motions)):
        features = np.zeros((1, frames, motion.shape[1]), np.float32)
        features[0, : len(motion)] = motion
        (embedding,) = other.run("motion_embedding", features=features, length=[len(motion) // FRAMES_PER_TOKEN])
        np.testing.assert_allclose(embedding[0], own[row], atol=1e-5)
        (words,) = other.run("text_embedding", **other.words(text))
        assert abs(float((words**2).sum()) - 1) < 1e-5


def test_the_example_runs_without_torch(mini, tmp_path):
    folder, _ = mini
    code = (
        "import sys, runpy; sys.modules['torch'] = sys.modules['lamp_fast'] = None; "
        f"sys.argv = ['generate.py', {str(folder)!r}, 'a person bows', '--output', 'bow.npz']; "
        f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    with np.load(tmp_path / "bow.npz") as motion:
        assert motion["joints"].shape[1:] == (22, 3) and np.isfinite(motion["joints"]).all()
        assert 0.5 < motion["joints"][:, 0, 1].mean() < 1.2  # the pelvis of an adult, metres


def test_bad_requests_say_what_to_do(tiny_lamp, tiny_folder, tmp_path, capsys):
    with pytest.raises(LampError, match="opset 9; choose 15 to 20"):
        export_onnx(tiny_lamp, tmp_path / "onnx", 9)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert main(["export", "onnx", str(tiny_folder), str(tmp_path / "mine")]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert main(["export", "onnx", str(tiny_folder), str(tmp_path / "onnx"), "--opset", "15"]) == 0
    assert "decode_step.onnx: " in capsys.readouterr().out


def test_again_in_its_place_with_card_and_licence(tiny_folder, tmp_path):
    model, folder = shutil.copytree(tiny_folder, tmp_path / "tiny"), tmp_path / "onnx"
    (model / "LICENSE").write_text("as you like")
    for _ in range(2):
        assert main(["export", "onnx", str(model), str(folder)]) == 0
    assert (folder / "LICENSE").read_text() == "as you like"
    assert "| decode_step.onnx | 0." in (folder / "README.md").read_text()


def test_values_that_are_no_numbers_are_not_kept(tiny_lamp, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "lamp_fast.export.onnx_graphs.MotionEmbedding.by_the_model", lambda self, *_: (torch.tensor([[torch.nan]]),)
    )
    with pytest.raises(LampError, match="motion_embedding.onnx is off the model by nan"):
        export_onnx(tiny_lamp, tmp_path / "onnx")


def test_a_body_that_spins_is_judged_by_what_its_path_adds_up(tiny_lamp, tmp_path):
    """Random weights, as of tests: hundreds of radians a frame. Float32 cannot say where such a path ends."""
    config = dataclasses.replace(tiny_lamp.config, generator=None, length=None, reads_motion=False)
    std = tiny_lamp.std.clone()
    std[0] = 1000
    lamp = Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean, std).eval()
    lamp.tokenizer.load_state_dict(tiny_lamp.tokenizer.state_dict())
    (decoder,) = export_onnx(lamp, tmp_path / "onnx")
    assert 2e-4 < decoder.error  # metres, relative above 1 m: the bound of a body that does not spin


@pytest.mark.parametrize("output", [0, 1])
def test_half_a_millimetre_is_not_rounding(output, tmp_path, monkeypatch):
    right = TokensToJoints.forward

    def moved(self, *inputs):
        return tuple(x + 5e-4 * (i == output) for i, x in enumerate(right(self, *inputs)))

    monkeypatch.setattr(TokensToJoints, "forward", moved)
    lamp = load_lamp("lamp-mini")
    lamp.config = dataclasses.replace(lamp.config, generator=None)
    with pytest.raises(LampError, match="decoder.onnx is off the model by"):
        export_onnx(lamp, tmp_path / "onnx")


def test_a_graph_that_differs_is_not_kept(tiny_lamp, tmp_path, monkeypatch):
    monkeypatch.setattr("lamp_fast.export.onnx_graphs.KEPT", 3.0)
    monkeypatch.setattr("lamp_fast.export.onnx_graphs.gumbel", lambda noise: 1 - noise)
    with pytest.raises(LampError, match="decode_step.onnx is off the model"):
        export_onnx(tiny_lamp, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()
