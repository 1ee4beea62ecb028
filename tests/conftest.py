"""Paths of the data that some tests need: they skip, saying so, where it is absent."""

import json
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may ask a server
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")  # on a GPU, too, what is said to be float32 is multiplied in float32
GOLDEN = Path(os.environ.get("LAMP_FAST_GOLDEN", SHARED / "golden"))


def pytest_runtest_logfinish():
    """One of several processes (pytest-xdist) whose GPU answers no more makes room for a fresh one."""
    torch = sys.modules.get("torch")
    if "PYTEST_XDIST_WORKER" in os.environ and torch is not None and torch.cuda.is_initialized():
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            os._exit(1)


class Golden:
    """One fixture: numbers computed by the released code, with the tolerance stated for each tensor."""

    def __init__(self, folder: Path):
        import torch
        from safetensors.torch import load_file

        self.folder = folder
        self.meta = json.loads((folder / "meta.json").read_text())
        self.config = self.meta["config"]
        self.scalars = self.meta["scalars"]
        data = load_file(folder / "data.safetensors")
        # Motions are stored as int8: the float32 input is value / 32, exactly.
        self.data = {k: v.float() / 32 if v.dtype == torch.int8 else v for k, v in data.items()}

    def __getitem__(self, name):
        return self.data[name]

    def state_dict(self, *keys: str):
        """The released weights under the first of these keys that the checkpoint has."""
        import torch

        file = self.folder / self.meta["checkpoints"][0]["file"]
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        return checkpoint[next(key for key in keys if key in checkpoint)]

    def check(self, name: str, value) -> None:
        """Compare with the expected tensor: absolute tolerance as stated in meta.json, integers exactly."""
        import torch

        expected = self.data[name]
        value = torch.as_tensor(value)
        assert value.shape == expected.shape, f"{name}: shape {tuple(value.shape)}, expected {tuple(expected.shape)}"
        if expected.dtype.is_floating_point:
            error = (value.double() - expected.double()).abs().max().item()
            atol = self.meta["tensors"][name]["atol"]
            assert error <= atol, f"{name}: largest error {error:.3g}, tolerance {atol:.3g}"
        else:
            assert torch.equal(value.to(expected.dtype), expected), f"{name}: {(value != expected).sum()} differ"


@pytest.fixture(scope="session")
def tiny_lamp():
    """A complete model of random weights, small enough to run in milliseconds."""
    import tempfile

    import torch

    from lamp_fast import config
    from lamp_fast.models.lamp import Lamp
    from lamp_fast.models.text import TextTokenizer

    words = "[PAD] [UNK] [CLS] [SEP] a the person walks forward then waves with right left hand , . turns ##s [DEC]"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(words.replace(" ", "\n"))
        file.flush()
        text_tokenizer = TextTokenizer(file.name)
    width, codes, max_tokens = 32, 24, 12
    torch.manual_seed(0)
    lamp = Lamp(
        config.LampConfig(
            tokenizer=config.TokenizerConfig(width=width, code_dim=16, num_codes=codes, dropout=0.0),
            language_motion=config.LanguageMotionConfig(
                vocab_size=len(text_tokenizer.pieces),
                hidden_size=width,
                num_layers=2,
                num_heads=2,
                intermediate_size=48,
                query_intermediate_size=48,
                max_positions=16,
                num_queries=max_tokens,
                memory_width=40,
                code_dim=16,
                num_codes=codes,
                embed_dim=16,
                max_text_tokens=16,
            ),
            generator=config.GeneratorConfig(
                num_codes=codes,
                code_dim=16,
                width=width,
                num_layers=2,
                num_heads=2,
                feedforward_size=48,
                condition_dim=width,
                max_tokens=max_tokens,
            ),
            length=config.LengthConfig(condition_dim=width, hidden_size=16, max_tokens=max_tokens),
        ),
        text_tokenizer,
        mean=torch.zeros(263),
        std=torch.ones(263),
    )
    torch.nn.init.normal_(lamp.tokenizer.codebook.vectors)
    return lamp.eval()


@pytest.fixture
def small_generator():
    """`small_generator(padding="released")`: a MotionGenerator with random weights, in evaluation mode."""
    import torch

    from lamp_fast.config import GeneratorConfig
    from lamp_fast.models.generator import MotionGenerator

    sizes = {"num_codes": 40, "code_dim": 12, "width": 48, "num_layers": 2, "num_heads": 3, "feedforward_size": 64}

    def build(**changes):
        torch.manual_seed(0)
        config = GeneratorConfig(**sizes | {"condition_dim": 20, "max_tokens": 49} | changes)
        model = MotionGenerator(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.2)
        return model

    return build


@pytest.fixture(scope="session")
def tiny_folder(tiny_lamp, tmp_path_factory) -> Path:
    """`tiny_lamp` on disk. Read only: copy it before changing anything."""
    from lamp_fast.checkpoints.folder import save_lamp

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_lamp(folder, tiny_lamp)
    return folder


@pytest.fixture(scope="session")
def tiny_language_model(tmp_path_factory) -> Path:
    """A folder with a causal language model of random weights, and a tokenizer that knows a few words."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = "<unk> <s> </s> a the person man is walks forward then waves with right left hand arm turns".split()
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*words, "\n"])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r" +"), "removed")
    folder = tmp_path_factory.mktemp("models") / "llm"
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(words) + 1,
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _fixture_folder(name: str) -> Path:
    folder = GOLDEN / name
    if not folder.is_dir():
        pytest.skip(f"fixture {name} not found; set LAMP_FAST_GOLDEN to the folder of fixtures")
    return folder


@pytest.fixture
def golden():
    """`golden("vq_t2m")` opens a fixture; the test skips where fixtures are absent."""
    return lambda name: Golden(_fixture_folder(name))


@pytest.fixture
def golden_texts():
    """`golden_texts("metrics_caption")`: data.json and meta.json of a fixture without tensors."""

    def open_fixture(name: str) -> tuple[dict, dict]:
        folder = _fixture_folder(name)
        return tuple(json.loads((folder / file).read_text()) for file in ("data.json", "meta.json"))

    return open_fixture


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the motion data set is not beside this checkout")
    return folder
