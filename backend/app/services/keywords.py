"""The words that a transcript is about: those said most, without the words of every sentence."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import stop_words

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 20
_LEAST_LETTERS = 3
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_WORD = re.compile(rf"[^\W\d_]+(?:['{_APOSTROPHE}\-][^\W\d_]+)*")
_WITHOUT_SPACES = {"bo", "ja", "km", "lo", "my", "th", "yue", "zh"}
"""Languages whose words nothing separates: there, a word would be a whole sentence."""


def of_texts(texts: Iterable[str], language: str | None) -> list[dict[str, Any]]:
    """The `MOST` words said most often, as {"word", "count"}, most first; none for languages without spaces."""
    if language in _WITHOUT_SPACES:
        return []
    dropped = {_plain(word) for word in _stop_words(language)}
    words = (_plain(word) for text in texts for word in _WORD.findall(text))
    counts = Counter(word for word in words if len(word) >= _LEAST_LETTERS and word not in dropped)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"word": word, "count": count} for word, count in ordered[:MOST]]


def _plain(word: str) -> str:
    return word.lower().replace(_APOSTROPHE, "'").removesuffix("'s")


def _stop_words(language: str | None) -> list[str]:
    try:
        words: list[str] = stop_words.get_stop_words(language or "en")
    except stop_words.StopWordError:  # it has no list of this language
        return []
    return words
