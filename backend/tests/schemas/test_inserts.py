"""Values of all kinds against the real server: what a schema takes in the server stores, and nothing else."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Column, Connection, create_engine, insert, text
from sqlalchemy import types as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import InternalError, OperationalError, StatementError
from sqlalchemy.pool import NullPool

from app.db.fields import all_schemas
from app.models import TaskStatus
from app.schemas.table import CreateSchema, TableSchema, UpdateSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL
    from sqlalchemy.types import TypeEngine

WRITERS = [schema for schema in all_schemas() if issubclass(schema, CreateSchema | UpdateSchema)]
ROWS: dict[str, dict[str, Any]] = {
    "user": {"email": "ann@example.com", "hashed_password": "-", "full_name": "Ann"},
    "media_file": {"filename": "a", "storage_path": "p", "file_size": 1, "content_type": "audio/wav", "user_id": 1},
    "speaker": {"user_id": 1, "name": "S", "uuid": "u"},
    "transcript_segment": {"media_file_id": 1, "start_time": 0.0, "end_time": 1.7e308, "text": ""},
    "tag": {"name": "Deutsch"},
    "comment": {"media_file_id": 1, "user_id": 1, "text": ""},
    "task": {"id": "t", "user_id": 1, "task_type": "transcription", "status": TaskStatus.PENDING},
    "analytics": {},
}
"""A row that each table takes, to which one field is added."""

EXAMPLES_PER_COLUMN = 25
RULES = {
    "user.email": "must look like an address",
    "task.progress": "goes from 0 to 1",
    "transcript_segment.start_time": "no later than end_time",
    "tag.name": "isn't blank",
}
"""Fields whose schemas ask for more than the column's type, by a validator of the schema."""


TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(["a\x00", "\ud800"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
EDGY_JSON = st.sampled_from([math.nan, [math.inf], {"\x00": 1}, ["\ud800"], {"\\u0000": "\\"}])
JSON = EDGY_JSON | st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8)
EDGES = [sign * 2**bits + step for sign in (-1, 1) for bits in (31, 63) for step in (-1, 0, 1)]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENDS_OF_TIME = [
    datetime.fromisoformat(f"{local}{zone}")
    for local in ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999")
    for zone in ("+00:00", "+14:00", "-14:00")
]


VALUES: dict[type[TypeEngine[Any]], st.SearchStrategy[Any]] = {
    sql.Integer: st.sampled_from(EDGES) | st.integers(-(2**66), 2**66),
    sql.Double: st.floats(),
    sql.Boolean: st.booleans() | st.integers(-1, 2),
    sql.DateTime: st.datetimes(timezones=st.timezones()) | st.sampled_from(ENDS_OF_TIME),
    JSONB: JSON,
}


def values(kind: TypeEngine[Any]) -> st.SearchStrategy[Any]:
    """Values in and around what a column of this type takes."""
    if isinstance(kind, sql.Enum):
        return st.sampled_from(kind.enums) | TEXTS
    if isinstance(kind, sql.String):
        lengths = st.integers((kind.length or 50) - 1, (kind.length or 50) + 1)
        return TEXTS | st.builds(lambda character, count: character * count, st.characters(), lengths)
    return next(strategy for python, strategy in VALUES.items() if isinstance(kind, python))


@pytest.fixture
def connection(database: URL) -> Iterator[Connection]:
    """A superuser's connection that checks everything but foreign keys: any number may stand for a row."""
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        connection.commit()
        yield connection
    engine.dispose()


@pytest.mark.parametrize("schema", WRITERS)
def test_a_schema_takes_what_the_server_stores(connection: Connection, schema: type[TableSchema]):
    columns = {name: schema.model.__table__.columns[name] for name in schema.model_fields if name in columns_of(schema)}

    @settings(max_examples=EXAMPLES_PER_COLUMN * len(columns), deadline=None, database=None)
    @given(st.data())
    def agree(data: st.DataObject) -> None:
        column = columns[data.draw(st.sampled_from(sorted(columns)), label="column")]
        value = data.draw(st.none() | values(column.type), label="value")
        accepted, taken = validated(schema, column, value), inserted(connection, column, value)
        if accepted is not REFUSED:
            assert same(accepted, value)
            assert same(inserted(connection, column, accepted), accepted)
        elif str(column) not in RULES and not unspeakable(value):
            assert taken is REFUSED or not same(taken, value)

    agree()


REFUSED = object()


def unspeakable(value: object) -> bool:
    """A number that the server stores and JSON has no word for."""
    return isinstance(value, float) and not math.isfinite(value)


def same(one: object, other: object) -> bool:
    """Whether the values are equal; jsonb may give a real number back as the integer of the same shortest decimals."""
    if isinstance(one, list | dict | float | int) and isinstance(other, list | dict | float | int):
        one, other = (json.loads(json.dumps(value), parse_int=float) for value in (one, other))
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one - EPOCH == other - EPOCH  # times in an hour that a zone skips or repeats equal none of another zone
    return one == other


def columns_of(schema: type[TableSchema]) -> set[str]:
    return set(schema.model.__table__.columns.keys())


def validated(schema: type[TableSchema], column: Column[Any], value: object) -> object:
    """What the schema makes of a value among others that are right."""
    base = ROWS[column.table.name] | {"password": "12345678", "id": 1 if column.table.name != "task" else "t"}
    try:
        return getattr(schema.model_validate(base | {column.name: value}), column.name)
    except ValidationError as error:
        elsewhere = [found for found in error.errors() if found["loc"] and found["loc"][0] != column.name]
        if elsewhere:
            raise
        return REFUSED


def inserted(connection: Connection, column: Column[Any], value: object) -> object:
    """What the server makes of a value among others that are right; the row doesn't stay."""
    row = ROWS[column.table.name] | {column.name: value}
    try:
        return connection.execute(insert(column.table).values(row).returning(column)).scalar_one()
    except (InternalError, OperationalError):
        raise
    except (StatementError, ValueError):
        return REFUSED
    finally:
        connection.rollback()
