"""The column types of PostgreSQL as annotations: each accepts exactly what such a column stores.

Names are those of the columns' types; `| None` says that a column is nullable, `| MISSING` that an update may leave the
field out. Rules about meaning (what an address looks like, an order of two times) aren't types: they are validators of
the schema that has them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, FiniteFloat, JsonValue, PlainSerializer, Secret
from sqlalchemy import types as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _storable_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("the character NUL can't be stored")
    text.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair
    return text


def _in_utc(time: datetime) -> datetime:
    """The instant in UTC, which is also what a time without a zone means; it must be a year that Python can say."""
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the time is outside of the years 1 to 9999 in UTC") from error


def _storable_json(value: JsonValue) -> JsonValue:
    """Refuses what jsonb does: NaN and infinities, NUL, half surrogate pairs. Null is said as `Json | None`."""
    if value is None:
        raise ValueError("null can't be stored")
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()
    if _NUL_IN_JSON.search(text):
        raise ValueError("the character NUL can't be stored")
    return value


def _null_if_unspeakable(number: float) -> float | None:
    return number if math.isfinite(number) else None


_STORABLE = AfterValidator(_storable_text)
_SHOWN = Field(json_schema_extra={"pattern": "^[^\\u0000]*$"})

Text = Annotated[str, _STORABLE, _SHOWN]
VarChar10 = Annotated[str, Field(max_length=10), _STORABLE, _SHOWN]
VarChar20 = Annotated[str, Field(max_length=20), _STORABLE, _SHOWN]
VarChar50 = Annotated[str, Field(max_length=50), _STORABLE, _SHOWN]
VarChar100 = Annotated[str, Field(max_length=100), _STORABLE, _SHOWN]
VarChar255 = Annotated[str, Field(max_length=255), _STORABLE, _SHOWN]
VarChar500 = Annotated[str, Field(max_length=500), _STORABLE, _SHOWN]

Int4 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Int8 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

Double = FiniteFloat
"""A number to write: JSON has no word for NaN and the infinities, so nobody could read them back."""

StoredDouble = Annotated[float, PlainSerializer(_null_if_unspeakable, return_type=float | None, when_used="json")]
"""A number as a row holds it. One that JSON has no word for is shown as null, and the rest of the row still is read."""

Timestamp = Annotated[datetime, AfterValidator(_in_utc)]
Json = Annotated[JsonValue, AfterValidator(_storable_json)]

Password = Annotated[
    Secret[Annotated[str, Field(min_length=8, max_length=1024)]],
    Field(json_schema_extra={"format": "password", "writeOnly": True}),
]
"""A password in clear: 8 characters or more, and no more than is sensible to hash. It is no column."""


@dataclass(frozen=True)
class Meaning:
    """The column type that an annotation stands for; `reading` as opposed to writing."""

    type: TypeEngine[Any]
    reading: bool = False


MEANINGS: Mapping[str, Meaning] = {
    "Text": Meaning(sql.Text()),
    "VarChar10": Meaning(sql.String(10)),
    "VarChar20": Meaning(sql.String(20)),
    "VarChar50": Meaning(sql.String(50)),
    "VarChar100": Meaning(sql.String(100)),
    "VarChar255": Meaning(sql.String(255)),
    "VarChar500": Meaning(sql.String(500)),
    "Int4": Meaning(sql.Integer()),
    "Int8": Meaning(sql.BigInteger()),
    "Double": Meaning(sql.Double()),
    "StoredDouble": Meaning(sql.Double(), reading=True),
    "Timestamp": Meaning(sql.DateTime(timezone=True)),
    "Json": Meaning(JSONB()),
}
"""What each annotation above claims; `app.db.fields` proves it."""
