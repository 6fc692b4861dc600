from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.schemas import types
from app.schemas.types import Json, Password, StoredDouble, Text, Timestamp, VarChar10


def refusal(annotation: object, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter[Any](annotation).validate_python(value)
    return caught.value.errors()[0]["msg"]


def test_a_refusal_says_what_is_wrong():
    assert refusal(VarChar10, "é" * 11) == "String should have at most 10 characters"
    assert refusal(Text, "a\x00") == "Value error, the character NUL can't be stored"
    assert refusal(Json, {"a\x00": 1}) == "Value error, the character NUL can't be stored"
    assert refusal(Password, "1234567") == "String should have at least 8 characters"


def test_a_documented_text_is_one_that_is_accepted():
    shown = TypeAdapter(VarChar10).json_schema()
    assert shown == {"type": "string", "maxLength": 10, "pattern": "^[^\\u0000]*$"}


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("2025-05-01T12:00:00+02:00", "2025-05-01T10:00:00Z"),
        ("2025-05-01T12:00:00Z", "2025-05-01T12:00:00Z"),
        ("2025-05-01T12:00:00", "2025-05-01T12:00:00Z"),
        ("2025-05-01T12:00:00.123456-00:30", "2025-05-01T12:30:00.123456Z"),
    ],
)
def test_a_time_is_an_instant_and_shown_in_utc(given: str, becomes: str):
    adapter = TypeAdapter(Timestamp)
    assert json.loads(adapter.dump_json(adapter.validate_python(given))) == becomes


@pytest.mark.parametrize("given", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_python_could_not_read_back_is_refused(given: str):
    assert "years 1 to 9999" in refusal(Timestamp, given)


def test_a_time_at_the_ends_is_kept():
    adapter = TypeAdapter(Timestamp)
    for time in (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        assert adapter.validate_python(time) == time


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_without_a_word_in_json_is_shown_as_null(number: float):
    adapter = TypeAdapter(StoredDouble)
    assert adapter.dump_json(adapter.validate_python(number)) == b"null"
    assert adapter.dump_python(number, mode="json") is None


def test_json_may_hold_a_backslash_before_u0000():
    value = {"\\u0000": ["\\\\u0000", "\\"]}
    assert TypeAdapter(Json).validate_python(value) == value
    assert refusal(Json, "\\\x00")
    assert refusal(Json, "\\\\\x00")


def test_json_of_any_depth_is_answered():
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    assert refusal(Json, value)


def test_a_number_too_long_for_json_is_refused():
    assert refusal(Json, 10**5000)


def test_a_password_shows_itself_nowhere():
    adapter = TypeAdapter(Password)
    password = adapter.validate_python("correct horse")
    assert password.get_secret_value() == "correct horse"
    for text in (repr(password), str(password), adapter.dump_json(password).decode(), f"{password}"):
        assert "horse" not in text


def test_every_annotation_that_fields_use_says_what_it_stands_for():
    named = {
        name for name in vars(types) if name.startswith(("VarChar", "Int", "Text", "Double", "Stored", "Time", "Json"))
    }
    assert named - {"JsonValue"} == types.MEANINGS.keys()
