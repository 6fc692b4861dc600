"""What can't be written is named before it is sent; what can be is read back from a server in test_bulk."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from app.db.copytext import CHUNK_ROWS, RowInvalid, RowWriter
from app.models import MediaFile

NAMES = ("title", "summary", "metadata_raw", "completed_at", "duration")
GOOD = ("title", "summary", {"a": 1}, datetime(2025, 1, 1, tzinfo=UTC), 1.5)
HOLLOW: list[Any] = []
HOLLOW.append(HOLLOW)


def _written(rows: list[Any], *, mappings: bool = False) -> bytes:
    columns = [MediaFile.__table__.c[name] for name in NAMES]
    return b"".join(RowWriter("media_file", columns, {}, PGDialect_psycopg2(), mappings=mappings).lines(rows))


@pytest.mark.parametrize("at", [1, 7, CHUNK_ROWS, CHUNK_ROWS + 1, CHUNK_ROWS * 2 + 5])
@pytest.mark.parametrize("mappings", [False, True], ids=["tuples", "mappings"])
@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("title", "a\0b", "NUL"),
        ("title", "\ud800", "surrogate"),
        ("title", b"bytes", "bytes"),
        ("title", ["list"], "list"),
        ("summary", object(), "object"),
        ("metadata_raw", {"a": ["\0"]}, "NUL"),
        ("metadata_raw", {"\0": 1}, "NUL"),
        ("metadata_raw", [{"a": math.nan}], "JSON"),
        ("metadata_raw", {"when": datetime(2025, 1, 1, tzinfo=UTC)}, "JSON"),
        ("metadata_raw", {"\udfff": 1}, "surrogate"),
        ("metadata_raw", HOLLOW, "Circular"),
        ("completed_at", datetime(2025, 1, 1), "zone"),  # noqa: DTZ001 - the case
        ("duration", 1j, "complex"),
    ],
)
def test_a_value_that_cannot_be_written_is_named_with_its_row(
    column: str, value: object, reason: str, at: int, *, mappings: bool
) -> None:
    good = dict(zip(NAMES, GOOD, strict=True))
    rows: list[Any] = [*([good] * (at - 1)), {**good, column: value}, *([good] * 3)]
    with pytest.raises(RowInvalid, match=reason) as caught:
        _written(rows if mappings else [tuple(row.values()) for row in rows], mappings=mappings)
    assert (caught.value.row, caught.value.column, caught.value.exit_code) == (at, column, 2)
    assert f"row {at} for column {column} of media_file" in caught.value.what


@pytest.mark.parametrize(
    ("row", "reason"),
    [(GOOD[:4], "4 values"), ((*GOOD, 1), "6 values"), ((), "0 values"), (None, "NoneType"), (7, "int")],
)
@pytest.mark.parametrize("at", [1, CHUNK_ROWS + 2])
def test_a_tuple_of_another_length_is_named(row: object, reason: str, at: int) -> None:
    with pytest.raises(RowInvalid, match=reason) as caught:
        _written([*([GOOD] * (at - 1)), row, GOOD])
    assert (caught.value.row, caught.value.column) == (at, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"title": None}, "lacks title"), ({"titel": "x"}, "has titel"), ({"title": None, "x": 1}, "lacks")],
)
@pytest.mark.parametrize("at", [1, CHUNK_ROWS + 2])
def test_a_mapping_with_other_keys_is_named(change: dict[str, Any], reason: str, at: int) -> None:
    good = dict(zip(NAMES, GOOD, strict=True))
    odd = {name: value for name, value in {**good, **change}.items() if change.get(name, value) is not None}
    with pytest.raises(RowInvalid, match=reason) as caught:
        _written([*([good] * (at - 1)), odd, good], mappings=True)
    assert (caught.value.row, caught.value.column) == (at, None)


@pytest.mark.parametrize("odd", [GOOD, None, "title", 7])
def test_what_is_no_mapping_among_mappings_is_named(odd: object) -> None:
    with pytest.raises(RowInvalid, match="no mapping") as caught:
        _written([dict(zip(NAMES, GOOD, strict=True)), odd], mappings=True)
    assert caught.value.row == 2


def test_an_escaped_nul_in_json_is_ordinary_text() -> None:
    assert rb'{"a":"\\\\u0000"}' in _written([("t", "s", {"a": "\\u0000"}, None, None)])


@pytest.mark.parametrize(
    "row", ["abcde", b"abcde", set("abcde"), dict.fromkeys("abcde")], ids=["str", "bytes", "set", "dict"]
)
def test_what_has_as_many_parts_as_columns_and_is_no_sequence_is_named(row: object) -> None:
    with pytest.raises(RowInvalid, match=f"type {type(row).__name__}, and no sequence") as caught:
        _written([GOOD, GOOD, row])
    assert caught.value.row == 3
