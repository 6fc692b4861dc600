"""What `schema_differences` says about schemas with one thing wrong: exactly one line, which names what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, ConfigDict, JsonValue, computed_field, create_model
from pydantic.fields import Field, FieldInfo
from sqlalchemy import Column, LargeBinary, MetaData, Table
from sqlalchemy.orm import DeclarativeBase

from app.db.fields import all_schemas, annotation_differences, schema_differences
from app.models import FileStatus, TaskStatus
from app.schemas import UNREAD_TABLES, media, types, user
from app.schemas.table import ReadSchema, TableSchema
from app.schemas.types import (
    Double,
    Int4,
    Int8,
    Meaning,
    StoredDouble,
    Text,
    Timestamp,
    VarChar50,
    VarChar100,
    VarChar255,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA = "backend/app/schemas/media.py"
USER = "backend/app/schemas/user.py"
TABLES = "backend/app/schemas/__init__.py"
TYPES = "backend/app/schemas/types.py"

Schema = type[TableSchema]


def rebuilt(
    schema: Schema,
    fields: Mapping[str, Any] | None = None,
    without: str | None = None,
    reasons: Mapping[str, Mapping[str, str] | None] | None = None,
) -> Schema:
    """The class as if its source said something else: other annotations, a field less, other reasons."""
    base = next(base for base in schema.__mro__ if base.__module__ == TableSchema.__module__)
    kept = {name: as_written(info) for name, info in schema.model_fields.items() if name != without}
    new: Schema = create_model(
        schema.__name__, __base__=base, __module__=schema.__module__, **(kept | dict(fields or {}))
    )
    new.model = schema.model
    for name in ("not_columns", "not_shown"):
        said = [vars(base)[name] for base in schema.__mro__ if name in vars(base)]
        setattr(new, name, {field: reason for each in said for field, reason in each.items()})
    for name, value in (reasons or {}).items():
        setattr(new, name, value)
    return new


def as_written(info: FieldInfo) -> tuple[Any, Any]:
    annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    return annotation, ... if info.is_required() else info.default


def lines(*changed: Schema, unread: Mapping[str, str] = UNREAD_TABLES) -> list[str]:
    names = {schema.__name__: schema for schema in changed}
    schemas = [names.pop(schema.__name__, schema) for schema in all_schemas()]
    return [str(difference) for difference in schema_differences([*schemas, *names.values()], unread)]


def file_of(schema: Schema) -> str:
    return {media.__name__: MEDIA, user.__name__: USER}[schema.__module__]


def test_the_schemas_of_this_tree_agree_with_its_models():
    assert schema_differences() == []


def test_every_schema_is_looked_at():
    names = {schema.__name__ for schema in all_schemas()}
    assert {"UserRead", "UserUpdate", "MediaFileDetail", "AnalyticsCreate", "TaskUpdate"} <= names
    assert not names & {"TableSchema", "ReadSchema", "CreateSchema", "UpdateSchema"}


def test_a_class_rebuilt_without_a_change_is_no_difference():
    assert lines(*(rebuilt(schema) for schema in all_schemas())) == []


class Pictured(media.TagRead):
    __module__ = media.__name__
    not_columns = {"picture": "drawn from the name"}  # noqa: RUF012 - as a schema says it

    @computed_field
    @property
    def picture(self) -> str:
        return self.name


class Drawn(Pictured):
    __module__ = media.__name__

    @computed_field
    @property
    def colour(self) -> str:
        return "red"


class Guessed(ReadSchema):
    __module__ = media.__name__
    model = media.TagRead.model
    id: Int4
    created_at: Timestamp | None

    @computed_field
    @property
    def name(self) -> str:
        return "guess"


class Nothing(ReadSchema):
    __module__ = media.__name__
    name: VarChar50


def without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError
    return value


# One wrong annotation: what it then accepts or refuses, and what the column says.
FIELD_MISTAKES: dict[str, tuple[Schema, str, tuple[Any, Any], str, str]] = {
    "shorter text": (
        media.MediaFileUpdate,
        "filename",
        (VarChar100, ...),
        "refuses a text of 255 characters",
        "media_file.filename is varchar(255) not null",
    ),
    "longer text": (
        media.MediaFileCreate,
        "codec",
        (VarChar255 | None, None),
        "accepts a text of 51 characters",
        "media_file.codec is varchar(50)",
    ),
    "unlimited text": (
        media.TagCreate,
        "name",
        (Text, ...),
        "accepts a text of 51 characters",
        "tag.name is varchar(50) not null",
    ),
    "limited text": (
        media.CommentRead,
        "text",
        (VarChar255, ...),
        "refuses a text of 100000 characters",
        "comment.text is text not null",
    ),
    "least length": (
        media.TagRead,
        "name",
        (Annotated[VarChar50, Field(min_length=1)], ...),
        "refuses an empty text",
        "tag.name is varchar(50) not null",
    ),
    "pattern": (
        media.SpeakerRead,
        "uuid",
        (Annotated[VarChar255, Field(pattern=r"^é*$")], ...),
        "refuses spaces, quotes and symbols",
        "speaker.uuid is varchar(255) not null",
    ),
    "NUL": (
        user.UserRegister,
        "full_name",
        (Annotated[str, Field(max_length=255)], ...),
        "accepts the character NUL",
        "user.full_name is varchar(255) not null",
    ),
    "half a surrogate pair": (
        media.CommentRead,
        "text",
        (Annotated[str, AfterValidator(without_nul)], ...),
        "accepts half a surrogate pair",
        "comment.text is text not null",
    ),
    "missing null": (user.UserRead, "role", (VarChar50, ...), "refuses null", "user.role is varchar(50)"),
    "extra null": (media.CommentUpdate, "text", (Text | None, None), "accepts null", "comment.text is text not null"),
    "missing null of json": (
        media.AnalyticsRead,
        "keywords",
        (types.Json, ...),
        "refuses null",
        "analytics.keywords is jsonb",
    ),
    "int8 as int4": (
        media.MediaFileRead,
        "file_size",
        (Int4, ...),
        "refuses the number -9223372036854775808",
        "media_file.file_size is bigint not null",
    ),
    "int4 as int8": (
        media.CommentCreate,
        "media_file_id",
        (Int8, ...),
        "accepts the number -2147483649",
        "comment.media_file_id is integer not null",
    ),
    "positive integer": (
        media.MediaFileCreate,
        "frame_count",
        (Annotated[Int4, Field(ge=1)] | None, None),
        "refuses the number 0",
        "media_file.frame_count is integer",
    ),
    "real as integer": (
        media.TranscriptSegmentRead,
        "start_time",
        (Int8, ...),
        "refuses the number -1.5",
        "transcript_segment.start_time is double precision not null",
    ),
    "NaN written": (
        media.TranscriptSegmentCreate,
        "end_time",
        (StoredDouble, ...),
        "accepts NaN",
        "transcript_segment.end_time is double precision not null",
    ),
    "NaN not read": (
        media.TaskRead,
        "progress",
        (Double | None, ...),
        "refuses NaN",
        "task.progress is double precision",
    ),
    "text as integer": (
        media.TaskCreate,
        "id",
        (Int4, ...),
        "refuses a text of 255 characters and accepts a number",
        "task.id is varchar(255) not null",
    ),
    "boolean as text": (
        user.UserUpdate,
        "is_active",
        (VarChar50, ...),
        "refuses true and accepts a word",
        "user.is_active is boolean not null",
    ),
    "time as text": (
        media.TagRead,
        "created_at",
        (Text | None, ...),
        "refuses a time with a zone and changes a time in ISO 8601 and accepts a word",
        "tag.created_at is timestamp with time zone",
    ),
    "json object alone": (
        media.AnalyticsCreate,
        "sentiment",
        (dict[str, JsonValue] | None, None),
        "refuses a list and accepts the character NUL",
        "analytics.sentiment is jsonb",
    ),
    "json with NUL": (
        media.MediaFileCreate,
        "metadata_raw",
        (JsonValue, None),
        "accepts the character NUL",
        "media_file.metadata_raw is jsonb",
    ),
    "foreign word": (
        media.TaskUpdate,
        "status",
        (TaskStatus | Literal["cancelled"], ...),
        "accepts 'cancelled'",
        "task.status is one of pending, in_progress, completed, failed not null",
    ),
    "missing word": (
        media.MediaFileRead,
        "status",
        (Literal["pending", "processing", "completed"] | None, ...),
        "refuses 'error'",
        "media_file.status is one of pending, processing, completed, error",
    ),
    "other enumeration": (
        media.TaskRead,
        "status",
        (FileStatus, ...),
        "refuses 'in_progress' and accepts 'error'",
        "task.status is one of pending, in_progress, completed, failed not null",
    ),
    "words as text": (
        media.MediaFileUpdate,
        "status",
        (VarChar50 | None, ...),
        "accepts a word of no meaning",
        "media_file.status is one of pending, processing, completed, error",
    ),
    "changed value": (
        media.SpeakerCreate,
        "name",
        (Annotated[VarChar255, AfterValidator(str.strip)], ...),
        "changes spaces, quotes and symbols",
        "speaker.name is varchar(255) not null",
    ),
    "other name in JSON": (
        media.CommentRead,
        "media_file_id",
        (Int4, Field(alias="mediaFileId")),
        "is called mediaFileId in JSON",
        "comment.media_file_id is integer not null",
    ),
}


@pytest.mark.parametrize("mistake", FIELD_MISTAKES)
def test_a_wrong_field_is_one_line(mistake: str):
    schema, field, changed, wrong, column = FIELD_MISTAKES[mistake]
    line = f"{file_of(schema)}: {schema.__name__}.{field}: {wrong}; the column {column}"
    assert lines(rebuilt(schema, {field: changed})) == [line]


class Trimmed(media.TagCreate):
    __module__ = media.__name__
    model_config = ConfigDict(str_strip_whitespace=True)
    name: VarChar50


NO_FIELD = "not_columns gives a reason for it, and there is no such field"
NO_COLUMN = "not_shown gives a reason for it, and {} has no such column"
CLASS_MISTAKES: dict[str, tuple[Schema, str]] = {
    "undeclared field": (
        rebuilt(media.TagCreate, {"colour": (VarChar50, ...)}),
        "TagCreate.colour: is no column of tag, and not_columns gives no reason",
    ),
    "hidden field": (
        rebuilt(media.TagRead, {"created_at": (Timestamp | None, Field(exclude=True))}),
        "TagRead.created_at: no read schema shows the column tag.created_at, and not_shown gives no reason",
    ),
    "column not shown": (
        rebuilt(media.SpeakerRead, without="verified"),
        "SpeakerRead.verified: no read schema shows the column speaker.verified, and not_shown gives no reason",
    ),
    "column without its reason": (
        rebuilt(user.UserRead, reasons={"not_shown": {}}),
        "UserRead.hashed_password: no read schema shows the column user.hashed_password, and not_shown gives no reason",
    ),
    "misspelt column": (
        rebuilt(media.CommentRead, {"timestmp": (StoredDouble | None, ...)}, without="timestamp"),
        "CommentRead.timestmp: is no column of comment, and not_columns gives no reason; is timestamp meant?",
    ),
    "field without its reason": (
        rebuilt(media.TranscriptSegmentRead, reasons={"not_columns": {}}),
        "TranscriptSegmentRead.speaker: is no column of transcript_segment, and not_columns gives no reason",
    ),
    "reason for a field that is gone": (
        rebuilt(media.TagCreate, reasons={"not_columns": {"colour": "for the eye"}}),
        f"TagCreate.colour: {NO_FIELD}",
    ),
    "reason for a column": (
        rebuilt(media.TagCreate, reasons={"not_columns": {"name": "for the eye"}}),
        "TagCreate.name: not_columns gives a reason for it, and it is a column",
    ),
    "misspelt reason for a field": (
        rebuilt(media.TranscriptSegmentRead, reasons={"not_columns": {"speakers": "the row"}}),
        f"TranscriptSegmentRead.speakers: {NO_FIELD}; is speaker meant?",
    ),
    "reason for a column that is shown": (
        rebuilt(media.TagRead, reasons={"not_shown": {"name": "a secret"}}),
        "TagRead.name: not_shown gives a reason for it, and TagRead shows it",
    ),
    "reason for a column that is gone": (
        rebuilt(media.TagRead, reasons={"not_shown": {"colour": "a secret"}}),
        f"TagRead.colour: {NO_COLUMN.format('tag')}",
    ),
    "misspelt reason for a column": (
        rebuilt(user.UserRead, reasons={"not_shown": {"hashed_pasword": "a secret"}}),
        f"UserRead.hashed_pasword: {NO_COLUMN.format('user')}; is hashed_password meant?",
    ),
    "undeclared computed field": (
        Drawn,
        "Drawn.colour: is no column of tag, and not_columns gives no reason",
    ),
    "computed column": (Guessed, "Guessed.name: is computed, and a column of tag"),
    "changing configuration": (
        Trimmed,
        "Trimmed.name: changes spaces, quotes and symbols; the column tag.name is varchar(50) not null",
    ),
    "no model": (Nothing, "Nothing: says no model"),
}


@pytest.mark.parametrize("mistake", CLASS_MISTAKES)
def test_a_wrong_class_is_one_line(mistake: str):
    schema, line = CLASS_MISTAKES[mistake]
    assert lines(schema) == [f"{file_of(schema)}: {line}"]


def test_a_computed_field_with_a_reason_is_no_difference():
    assert lines(Pictured) == []


def test_a_mistake_in_a_base_class_is_one_line_about_the_base():
    base = rebuilt(media.MediaFileRead, {"title": (VarChar100 | None, ...)})
    child = create_model("MediaFileDetail", __base__=base, __module__=media.__name__)
    assert lines(base, child) == [
        f"{MEDIA}: MediaFileRead.title: refuses a text of 255 characters; the column media_file.title is varchar(255)"
    ]


def test_a_table_without_a_read_schema_is_one_line():
    schemas = [schema for schema in all_schemas() if schema is not media.AnalyticsRead]
    assert list(map(str, schema_differences(schemas))) == [
        f"{TABLES}: analytics: has no read schema, and UNREAD_TABLES gives no reason"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tag", "UNREAD_TABLES gives a reason for it, and it has a read schema"),
        ("picture", "UNREAD_TABLES gives a reason for it, and there is no such table"),
    ],
)
def test_a_stale_reason_for_a_table_is_one_line(name: str, text: str):
    assert lines(unread={**UNREAD_TABLES, name: "a reason"}) == [f"{TABLES}: {name}: {text}"]


def test_a_table_without_its_reason_is_one_line():
    unread = {name: reason for name, reason in UNREAD_TABLES.items() if name != "file_tag"}
    assert lines(unread=unread) == [f"{TABLES}: file_tag: has no read schema, and UNREAD_TABLES gives no reason"]


def test_a_column_of_a_type_that_has_no_probes_is_one_line():
    class Base(DeclarativeBase):
        metadata = MetaData()

    class Picture(Base):
        __table__ = Table("tag", Base.metadata, Column("name", LargeBinary, primary_key=True))

    class PictureRead(ReadSchema):
        __module__ = media.__name__
        model = Picture  # type: ignore[assignment]
        name: bytes

    schemas = [PictureRead if schema is media.TagRead else schema for schema in all_schemas()]
    (found,) = (each.text for each in schema_differences(schemas) if each.subject == "PictureRead.name")
    assert found.startswith("can't be proven, because backend/app/db/probes.py knows no values for it; ")
    assert found.endswith("the column tag.name is bytea not null")


def test_a_wrong_annotation_is_one_line_though_many_fields_use_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(types, "VarChar255", VarChar100)
    assert lines() == [f"{TYPES}: VarChar255: refuses a text of 255 characters; it stands for varchar(255)"]


def test_a_mistake_that_annotations_share_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(types, "Text", str)
    monkeypatch.setattr(types, "VarChar10", str)
    assert lines() == [f"{TYPES}: Text: accepts the character NUL; it stands for text"]


def test_an_annotation_that_takes_null_is_one_line():
    found = annotation_differences({"Int4": Int4 | None}, {"Int4": Meaning(types.sql.Integer())})
    assert list(map(str, found)) == [f"{TYPES}: Int4: accepts null; it stands for integer"]
