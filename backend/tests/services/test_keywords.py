from __future__ import annotations

import pytest

from app.services import keywords


def words(text: str, language: str | None = "en") -> dict[str, int]:
    return {found["word"]: found["count"] for found in keywords.of_texts([text], language)}


def test_what_is_said_most_comes_first_and_small_words_never() -> None:
    said = "The budget and the plan. Budget, budget! A PLAN for the office"
    assert list(words(said).items()) == [("budget", 3), ("plan", 2), ("office", 1)]


def test_words_keep_their_form_but_for_capitals_and_possession() -> None:
    said = "Ann\N{RIGHT SINGLE QUOTATION MARK}s café, ann's co-operation in 2024 (x_y)"
    assert words(said) == {"ann": 2, "café": 1, "co-operation": 1}


def test_at_most_so_many() -> None:
    said = " ".join(f"{first}{second}word" for first in "abcdef" for second in "ghijkl")
    assert len(words(said)) == keywords.MOST


@pytest.mark.parametrize(("language", "small"), [("de", "und"), ("fr", "dans"), ("en", "would")])
def test_each_language_has_its_small_words(language: str, small: str) -> None:
    assert words(f"{small} konzert", language) == {"konzert": 1}


def test_languages_without_a_list_keep_all_and_those_without_spaces_have_none() -> None:
    assert words("konzert und", "xx") == {"konzert": 1, "und": 1}
    assert words("明日の会議", "ja") == {}


def test_nothing_said_has_no_words() -> None:
    assert keywords.of_texts([], None) == []
