"""The fused text side gives the conditions of the model; the cache keeps what was used last."""

import torch

from lamp_fast.checkpoints.folder import load_lamp
from lamp_fast.engine.layers import Precision
from lamp_fast.engine.text import FusedText, PromptCache

PROMPTS = ["the person", "a person walks forward , then turns left .", "a"]


def test_conditions_of_the_model(tiny_lamp):
    ids, mask = tiny_lamp.text_tokenizer(PROMPTS, 16)
    with torch.no_grad():
        expected = tiny_lamp.language_motion.condition(ids, mask)
        fused = FusedText(tiny_lamp.language_motion, Precision(torch.float32))
        # Other padding, the same conditions.
        for width in (ids.shape[1], 16):
            padded = torch.nn.functional.pad(ids, (0, width - ids.shape[1]))
            torch.testing.assert_close(fused(padded, mask.sum(1)), expected, atol=1e-5, rtol=1e-5)


def test_conditions_of_lamp_mini():
    lamp = load_lamp("lamp-mini", torch.device("cpu"))
    ids, mask = lamp.text_tokenizer(["a person walks in a circle", "someone bows"], 49)
    with torch.no_grad():
        expected = lamp.language_motion.condition(ids, mask)
        got = FusedText(lamp.language_motion, Precision(torch.float32))(ids, mask.sum(1))
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=1e-5)


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 3)


def test_the_prompts_used_last_are_kept():
    cache = PromptCache(2, 3, torch.device("cpu"))
    cache.put(["a", "b"], rows(1, 2))
    assert torch.equal(cache.get(["b", "a", "b"]), rows(2, 1, 2))
    cache.put(["c"], rows(3))
    assert cache.get(["b"]) is not None, "b came after a in the last question"
    assert cache.get(["a", "c"]) is None and torch.equal(cache.get(["c"]), rows(3))
    cache.put(["d", "e", "f", "d"], rows(4, 5, 6, 7))
    assert len(cache) == 2 and cache.get(["c"]) is None
    assert torch.equal(cache.get(["e", "f"]), rows(5, 6))


def test_what_is_put_is_copied():
    cache, row = PromptCache(4, 3, torch.device("cpu")), torch.zeros(1, 3)
    cache.put(["a"], row)
    row += 1
    assert torch.equal(cache.get(["a"]), torch.zeros(1, 3))


def test_a_prompt_put_again_is_replaced():
    cache = PromptCache(2, 3, torch.device("cpu"))
    cache.put(["a", "b"], rows(1, 2))
    cache.put(["a"], rows(9))
    assert torch.equal(cache.get(["a", "b"]), rows(9, 2))


def test_a_cache_of_nothing_keeps_nothing():
    cache = PromptCache(0, 3, torch.device("cpu"))
    cache.put(["a"], rows(1))
    assert len(cache) == 0 and cache.get(["a"]) is None
