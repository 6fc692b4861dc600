"""Values at the edges of a column's type, and whether the column takes each of them.

Sources: PostgreSQL manual, chapters 8.1 (ranges of numbers), 8.3 (varchar counts characters, no NUL), 8.14 (jsonb).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import types as sql
from sqlalchemy.dialects.postgresql import JSONB

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.types import TypeEngine

_CHARACTERS = " \t\n'\"\\%é🎧Z"
_UNLIMITED = 100_000
_HALF_PAST_TWO = timezone(timedelta(hours=2, minutes=30))


@dataclass(frozen=True)
class Probe:
    """A value, whether the column takes it, and what it is afterwards (None: the same)."""

    name: str
    value: object
    taken: bool
    becomes: object = None


def probes(kind: TypeEngine[Any], *, reading: bool) -> list[Probe]:
    """What a schema's field must accept and refuse if it stands for a column of this type, null apart.

    `reading`: the field shows rows, as opposed to taking input. Raises `LookupError` for a type that is not known here.
    """
    tried: Iterable[Probe]
    match kind:
        case sql.Enum():
            tried = _of_words(kind.enums)
        case sql.String():
            tried = _of_text(kind.length)
        case sql.BigInteger():
            tried = _of_integer(64)
        case sql.Integer():
            tried = _of_integer(32)
        case sql.Double():
            tried = _of_double(reading=reading)
        case sql.Boolean():
            tried = _of_boolean()
        case sql.DateTime(timezone=True):
            tried = _of_time()
        case JSONB():
            tried = _of_json()
        case _:
            raise LookupError(repr(kind))
    return list(tried)


def verdict(adapter: TypeAdapter[Any], tried: Iterable[Probe]) -> str:
    """What is wrong with an annotation: the first value that it wrongly refuses, changes or accepts. Empty: nothing."""
    wrong = dict[str, str]()
    for probe in tried:
        if word := _wrong(adapter, probe):
            wrong.setdefault(word, f"{word} {probe.name}")
    return " and ".join(wrong.values())


def offered_words(adapter: TypeAdapter[Any]) -> set[str]:
    """The values that an enumeration names in its JSON schema."""
    return set(_words_in(adapter.json_schema()))


def _words_in(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from (word for word in [*schema.get("enum", ()), schema.get("const")] if isinstance(word, str))
        for part in schema.values():
            yield from _words_in(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _words_in(part)


def _wrong(adapter: TypeAdapter[Any], probe: Probe) -> str | None:
    try:
        value = adapter.validate_python(probe.value)
    except ValidationError:
        return "refuses" if probe.taken else None
    if not probe.taken:
        return "accepts"
    return None if _same(value, probe.value if probe.becomes is None else probe.becomes) else "changes"


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - any value of any column
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN


def _taken(name: str, value: object, becomes: object = None) -> Probe:
    return Probe(name, value, taken=True, becomes=becomes)


def _refused(name: str, value: object) -> Probe:
    return Probe(name, value, taken=False)


def _of_words(words: Iterable[str]) -> Iterator[Probe]:
    yield from (_taken(f"'{word}'", word) for word in words)
    yield _refused("a word of no meaning", "-")


def _of_boolean() -> Iterator[Probe]:
    yield from (_taken(str(value).lower(), value) for value in (True, False))
    yield _refused("the number 2", 2)
    yield _refused("a word", "word")


def _of_text(length: int | None) -> Iterator[Probe]:
    most = length or _UNLIMITED
    yield _taken(f"a text of {most} characters", "é" * most)
    yield _taken("an empty text", "")
    yield _taken("spaces, quotes and symbols", _CHARACTERS[:most])
    if length:
        yield _refused(f"a text of {length + 1} characters", "é" * (length + 1))
    yield _refused("the character NUL", "\x00")
    yield _refused("half a surrogate pair", "\ud800")
    yield _refused("a number", 5)


def _of_integer(bits: int) -> Iterator[Probe]:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    yield from (_taken(f"the number {number}", number) for number in (0, least, most))
    yield from (_refused(f"the number {number}", number) for number in (least - 1, most + 1, 1.5))
    yield _refused("a word", "word")


def _of_double(*, reading: bool) -> Iterator[Probe]:
    yield from (_taken(f"the number {number}", number) for number in (0.0, -1.5, 5e-324))
    yield from (_taken(f"the number {number}", number) for number in (sys.float_info.max, -sys.float_info.max))
    yield _refused("a word", "word")
    # JSON has no word for these: a row may hold one, which then is shown as null, but nobody puts one in.
    for name in ("NaN", "inf", "-inf"):
        yield Probe(name, float(name), taken=reading)


def _of_time() -> Iterator[Probe]:
    east = datetime(2025, 5, 1, 12, 30, 0, 123456, tzinfo=_HALF_PAST_TWO)
    yield _taken("a time with a zone", east)
    yield _taken("a time in ISO 8601", east.isoformat(), becomes=east)
    yield _taken("the first year", datetime.min.replace(tzinfo=UTC))
    yield _taken("the last year", datetime.max.replace(tzinfo=UTC))
    yield _refused("a word", "word")


def _of_json() -> Iterator[Probe]:
    yield from (_taken(name, value) for name, value in {
        "an object": {"a": [{"b": None}]},
        "an empty object": {},
        "a list": [1, "two", None],
        "a text": "text",
        "a number": 1.5,
        "true": True,
        "the two characters \\u": "\\u0000",
    }.items())  # fmt: skip
    yield _refused("the character NUL", {"a": ["\x00"]})
    yield _refused("half a surrogate pair", {"\ud800": 1})
    yield _refused("NaN", [float("nan")])
    yield _refused("a set", {1})
