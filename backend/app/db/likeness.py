"""Names that look alike: people who meant one tag and made two."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SHORTEST_MISTYPED = 5  # below, one letter makes another word
_SHORTEST_STEM = 3
_MEANT_MARKS = "+#"  # C, C++ and C# are three things


@dataclass(frozen=True)
class Pair:
    """Two names, in alphabetic order, and what they differ in."""

    names: tuple[str, str]
    differ_in: list[str]


def _without_accents(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", name) if not unicodedata.combining(letter))


def _without_punctuation(name: str) -> str:
    return "".join(c for c in name if c in _MEANT_MARKS or not unicodedata.category(c).startswith(("P", "S")))


def _singular(name: str) -> str:
    plural = len(name) > _SHORTEST_STEM and name.endswith("s") and not name.endswith("ss")
    return name[:-1] if plural else name


_FOLDS: dict[str, Callable[[str], str]] = {
    "case": str.casefold,
    "accents": _without_accents,
    "spaces": lambda name: "".join(name.split()),
    "punctuation": _without_punctuation,
    "a plural s": _singular,
}


def _folded(name: str, *, without: str | None = None) -> str:
    for label, fold in _FOLDS.items():
        if label != without:
            name = fold(name)
    return name


def look_alikes(names: Sequence[str]) -> list[Pair]:
    """The pairs that look alike, in alphabetic order.

    Alike are names that differ in nothing but case, accents, spaces, punctuation or a plural s; and those of five
    letters or more that are then one slip of the finger apart (a letter more, less or other, or two swapped), unless
    it is in a digit: 2024 and 2025 are two things.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        groups[_folded(name)].append(name)
    found = [Pair(pair, _differences(*pair)) for group in groups.values() for pair in combinations(group, 2)]
    found += [
        Pair((min(pair), max(pair)), ["one letter"])
        for folded in _mistyped(list(groups))
        for pair in [(groups[folded[0]][0], groups[folded[1]][0])]
    ]
    return sorted(found, key=lambda pair: pair.names)


def _differences(first: str, second: str) -> list[str]:
    """What has to be looked away from for the two to be the same."""
    return [label for label in _FOLDS if _folded(first, without=label) != _folded(second, without=label)] or [
        "spelling"
    ]


def _mistyped(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs one slip apart. These share a word that lacks at most one letter of theirs: few pairs are looked at."""
    sharing: dict[str, list[str]] = defaultdict(list)
    for word in words:
        if len(word) >= _SHORTEST_MISTYPED:
            for shorter in {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}:
                sharing[shorter].append(word)
    candidates = {pair for group in sharing.values() for pair in combinations(sorted(group), 2)}
    return (pair for pair in sorted(candidates) if _one_slip(*pair))


def _one_slip(first: str, second: str) -> bool:
    """Whether one letter was added, left out, replaced or swapped with its neighbour, and no digit."""
    start = _common_start(first, second)
    end = min(_common_start(first[::-1], second[::-1]), len(first) - start, len(second) - start)
    left, right = first[start : len(first) - end], second[start : len(second) - end]
    if any(letter.isdigit() for letter in left + right):
        return False
    return max(len(left), len(right)) <= 1 or (len(left) == 2 and left == right[::-1])  # noqa: PLR2004 - a swap is of two


def _common_start(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))
