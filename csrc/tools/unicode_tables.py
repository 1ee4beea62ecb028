"""Writes csrc/core/unicode_tables.h: what the `tokenizers` package does to every character, found by asking it.

The C++ splitter of words then does the same, whatever version of Unicode that package was built with.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import tokenizers
from tokenizers.normalizers import NFD, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

TABLES = Path(__file__).resolve().parents[1] / "core" / "unicode_tables.h"
CHARACTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)  # syllables, taken apart by arithmetic

PLAIN, REMOVED, BREAK, SPACE, PUNCTUATION, IDEOGRAPH = range(6)

# A combining character of each class of Unicode.
CLASSES = {
    1: 0x334, 6: 0x16FF0, 7: 0x93C, 8: 0x3099, 9: 0x94D, 10: 0x5B0, 11: 0x5B1, 12: 0x5B2, 13: 0x5B3, 14: 0x5B4,
    15: 0x5B5, 16: 0x5B6, 17: 0x5B7, 18: 0x5B8, 19: 0x5B9, 20: 0x5BB, 21: 0x5BC, 22: 0x5BD, 23: 0x5BF, 24: 0x5C1,
    25: 0x5C2, 26: 0xFB1E, 27: 0x64B, 28: 0x64C, 29: 0x64D, 30: 0x64E, 31: 0x64F, 32: 0x650, 33: 0x651, 34: 0x652,
    35: 0x670, 36: 0x711, 84: 0xC55, 91: 0xC56, 103: 0xE38, 107: 0xE48, 118: 0xEB8, 122: 0xEC8, 129: 0xF71,
    130: 0xF72, 132: 0xF74, 202: 0x321, 214: 0x1DCE, 216: 0x31B, 218: 0x302A, 220: 0x316, 222: 0x59A, 224: 0x302E,
    226: 0x1D16D, 228: 0x5AE, 230: 0x300, 232: 0x315, 233: 0x35C, 234: 0x35D, 240: 0x345,
}  # fmt: skip


def combining_classes() -> dict[str, int]:
    """Canonical combining class of every character that has one."""
    order = NFD().normalize_str

    def change_places(first: str, second: str) -> bool:
        return first != second and order(first + second) == second + first

    last, before_last = chr(CLASSES[240]), chr(CLASSES[234])
    known = {n: chr(c) for n, c in CLASSES.items() if n == 240 or change_places(last, chr(c))}
    found = {}
    for character in CHARACTERS:
        # What has a higher class changes places with a lower one behind it.
        if change_places(last, character):
            found[character] = next(n for n, other in known.items() if not change_places(character, other))
        elif change_places(character, before_last):
            found[character] = 240
    return found


def tables() -> tuple[list[int], list[str], dict[str, str], dict[str, int]]:
    """-> the kind of every character; what becomes of those that change; the classes of those that stay."""
    normalise = BertNormalizer(lowercase=True).normalize_str
    split = BertPreTokenizer().pre_tokenize_str
    classes = combining_classes()
    kinds, changed, kept = {}, {}, set()
    for character in CHARACTERS:
        result = normalise(f"a{character}b")[1:-1]
        kind = PLAIN
        if result == "":
            combines = all(part in classes for part in NFD().normalize_str(character))
            kind = BREAK if is_accent(character) and not combines else REMOVED
        elif result == " ":
            kind = SPACE
        else:
            if result[0] == result[-1] == " ":
                kind, result = IDEOGRAPH, result[1:-1]
            assert " " not in result
            if result != character and ord(character) not in HANGUL:
                changed[character] = result
            kept.update(result)
        kinds[character] = kind
    for character in kept:
        if [part for part, _ in split(f"a{character}b")] == ["a", character, "b"]:
            assert kinds[character] == PLAIN, hex(ord(character))
            kinds[character] = PUNCTUATION
    for result in changed.values():
        assert all(kinds[c] in (PLAIN, PUNCTUATION, IDEOGRAPH) for c in result)
    return kinds, changed, {c: classes[c] for c in kept & classes.keys()}


def is_accent(character: str) -> bool:
    """Whether it is removed as an accent, and not with control characters before letters are taken apart."""
    return BertNormalizer(lowercase=True, strip_accents=False).normalize_str(f"a{character}b") != "ab"


def as_ranges(values: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Pairs (character, value), rising -> (first, last, value) of neighbours with one value."""
    ranges: list[tuple[int, int, int]] = []
    for character, value in values:
        if ranges and ranges[-1][1] == character - 1 and ranges[-1][2] == value:
            ranges[-1] = (ranges[-1][0], character, value)
        else:
            ranges.append((character, character, value))
    return ranges


def hexadecimal(text: str) -> str:
    return ", ".join(f"0x{ord(character):X}" for character in text)


def rows(numbers: Iterable[str], width: int = 118) -> str:
    lines, line = [], ""
    for number in numbers:
        if len(line) + len(number) + 2 > width:
            lines.append(line)
            line = ""
        line += f" {number}," if line else f"{number},"
    return "".join(f"    {line}\n" for line in [*lines, line])


def main() -> None:
    kinds, changed, classes = tables()
    # From each character on, up to the next.
    starts, previous = [], None
    for character in CHARACTERS:
        if kinds[character] != previous:
            previous = kinds[character]
            starts.append(ord(character) << 3 | previous)
    single = sorted((ord(c), ord(result)) for c, result in changed.items() if len(result) == 1)
    several = sorted((ord(c), result) for c, result in changed.items() if len(result) > 1)
    ordered = as_ranges(sorted((ord(c), number) for c, number in classes.items()))
    assert all(len(result) <= 3 for _, result in several)
    text = f"""// Made by csrc/tools/unicode_tables.py from tokenizers {tokenizers.__version__}; not to be edited.
#pragma once

#include <cstdint>

namespace lf::unicode {{

// What becomes of a character: removed (break: and it parts combining characters before it from those behind), a space,
// a word of its own (punctuation; ideographs also where they are changed).
enum Kind : std::uint32_t {{ plain, removed, removed_break, space, punctuation, ideograph }};

// character << 3 | kind, from this character on.
constexpr std::uint32_t kKinds[] = {{
{rows(f"0x{start:X}" for start in starts)}}};

// Characters that become another: a capital its small letter, a letter with an accent the letter.
struct Single {{
  std::uint32_t character, result;
}};
constexpr Single kSingles[] = {{
{rows(f"{{0x{c:X}, 0x{result:X}}}" for c, result in single)}}};

// Characters that become two or three; 0: none.
struct Several {{
  std::uint32_t character, parts[3];
}};
constexpr Several kSeveral[] = {{
{rows(f"{{0x{c:X}, {{{hexadecimal(result)}}}}}" for c, result in several)}}};

// Canonical combining classes, of what is not removed.
struct Class {{
  std::uint32_t first, last, number;
}};
constexpr Class kClasses[] = {{
{rows(f"{{0x{first:X}, 0x{last:X}, {number}}}" for first, last, number in ordered)}}};

}}  // namespace lf::unicode
"""
    TABLES.write_text(text, encoding="utf-8")
    print(
        f"{len(starts)} kinds, {len(single)} singles, {len(several)} several, {len(ordered)} classes", file=sys.stderr
    )


if __name__ == "__main__":
    main()
