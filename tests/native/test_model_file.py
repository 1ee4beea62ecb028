"""Model files for the core: those that the exporter writes are read, and no damage does more than be refused."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest

from lamp_fast.engine.native_file import STORAGES, native_bytes
from lamp_fast.models.lamp import Lamp

native = pytest.importorskip("lamp_fast._native", reason="the native module is not built")


@pytest.fixture(scope="module")
def files(tiny_lamp):
    return {storage: native_bytes(tiny_lamp, storage) for storage in STORAGES}


def header_of(file: bytes) -> tuple[dict, bytes]:
    """-> the header, and the numbers behind it."""
    end = 8 + int.from_bytes(file[:8], "little")
    return json.loads(file[8:end]), file[end:]


def with_header(header: dict, numbers: bytes) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return len(text).to_bytes(8, "little") + text + numbers


def use(file: bytes) -> None:
    """What a program does with a file that could be read."""
    model = native.Model(file)
    (condition,) = model.read(["a person walks"])
    one = np.ones(1, np.int64)
    ids = np.full((1, 3), 24, np.int64)
    model.generate(condition[None], ids, 3 * one, one, one, 2, 4.0, 1.0, 2, True)


@pytest.mark.parametrize("storage", STORAGES)
def test_exported_files_are_read(files, storage):
    native.check_model_file(files[storage])
    use(files[storage])


@pytest.mark.parametrize(
    "without", [{"generator": None}, {"length": None}, {"reads_motion": False}, {"generator": None, "length": None}]
)
def test_models_that_lack_a_part_are_read(tiny_lamp, without):
    config = replace(tiny_lamp.config, **without)
    native.check_model_file(native_bytes(Lamp(config, tiny_lamp.text_tokenizer, tiny_lamp.mean, tiny_lamp.std)))


def test_the_bundled_model_is_read():
    from lamp_fast.checkpoints.folder import load_lamp

    native.check_model_file(native_bytes(load_lamp("lamp-mini"), "int8"))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"{}", b"\x80\x04" + b"." * 60, b"PK\x03\x04" + b"\0" * 60])
def test_other_files_are_refused(data):
    with pytest.raises(ValueError, match="this is no model file"):
        native.check_model_file(data)


def test_every_cut_is_refused(files):
    file = files["int8"]
    for length in [*range(0, 3000, 7), *range(3000, len(file), 997), len(file) - 1]:
        with pytest.raises(ValueError, match="model file"):
            native.check_model_file(file[:length])


def test_every_tensor_is_checked(files):
    """Each tensor in turn: gone, of another shape, of another dtype, in another's place, not finite."""
    header, numbers = header_of(files["int8"])
    names = [name for name in header if name != "__metadata__"]
    for name in names:
        entry = header[name]
        begin, end = entry["data_offsets"]
        size = {"F32": 4, "BF16": 2, "I8": 1, "U8": 1}[entry["dtype"]]
        changes = [
            {k: v for k, v in header.items() if k != name},
            {**header, name: {**entry, "shape": [*entry["shape"], 1]}},
            {**header, name: {**entry, "shape": [2 * entry["shape"][0], *entry["shape"][1:]]}},
            {**header, name: {**entry, "shape": [2**62, *entry["shape"][1:]]}},
            {**header, name: {**entry, "dtype": "U8" if size == 4 else "F32"}},
            {**header, name: {**entry, "dtype": "F64"}},
            {**header, name: {**entry, "data_offsets": [begin - size, end - size]}},
            {**header, name: {**entry, "data_offsets": [begin + len(numbers), end + len(numbers)]}},
            {**header, name: {**entry, "data_offsets": [end, begin]}},
            {**header, name: {**entry, "data_offsets": [begin, 2**64 - 1]}},
        ]
        for changed in changes:
            with pytest.raises(ValueError, match="the model file|header"):
                native.check_model_file(with_header(changed, numbers))
        if entry["dtype"] in ("F32", "BF16"):
            nan = b"\xff" * size
            with pytest.raises(ValueError, match="NaN"):
                native.check_model_file(with_header(header, numbers[: end - size] + nan + numbers[end:]))


def test_every_size_is_checked(files):
    """Each entry of the configuration in turn: gone, or something else."""
    header, numbers = header_of(files["f32"])
    config = json.loads(header["__metadata__"]["lamp_fast"])
    places = [(config, key) for key in config]
    places += [(part, key) for part in config.values() if isinstance(part, dict) for key in part]
    # These change what is computed, not what is stored.
    free = {"eps", "head_eps", "frames_per_second", "max_tokens", "heads"}
    for part, key in places:
        before = part.pop(key)
        for value in (None, -1, 0, 2**31, 2**64, 1e300, 1.5, "x", [], {}, [0], True):
            if value == before or (key in free and value in (1.5, True)):
                continue
            if value is None and key in ("motion_encoder", "generator", "length"):
                continue
            part[key] = value
            header["__metadata__"]["lamp_fast"] = json.dumps(config)
            with pytest.raises(ValueError, match="model file"):
                native.check_model_file(with_header(header, numbers))
            del part[key]
        header["__metadata__"]["lamp_fast"] = json.dumps(config)
        with pytest.raises(ValueError, match="model file"):
            native.check_model_file(with_header(header, numbers))
        part[key] = before


def test_random_damage(files):
    random.seed(0)
    read = 0
    for round_ in range(3000):
        file = bytearray(files[STORAGES[round_ % 3]])
        header = 8 + int.from_bytes(file[:8], "little")
        for _ in range(random.randint(1, 4)):
            at = random.randrange(min(header, len(file)) if random.random() < 0.7 else len(file))
            change = random.random()
            if change < 0.5:
                file[at] = random.randrange(256)
            elif change < 0.9:
                file[at : at + 1] = random.choice(
                    [b"0", b"9", b"1e9", b"null", b"[", b"]", b"{", b"}", b'"', b"F32", b""]
                )
            else:
                del file[at:]
            if not file:
                break
        try:
            native.check_model_file(bytes(file))
        except ValueError as error:
            assert str(error).strip(), "damage gets a sentence"
        else:
            read += 1
            if read <= 20:
                try:
                    use(bytes(file))
                except ValueError as error:
                    assert str(error).strip()
    assert 0 < read < 3000
