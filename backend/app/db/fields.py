"""Proves that the Pydantic schemas agree with the models, by trying what each field accepts.

A field named like a column accepts exactly what the column does; a field that is no column, and a column that no read
schema shows, has a reason beside the class; and no reason outlives its need.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, TypeAdapter
from sqlalchemy import Column, Table
from sqlalchemy import types as sql

import app.models
import app.schemas
from app.db.base import Base, engine
from app.db.binaries import CHECKOUT
from app.db.catalog import Difference
from app.db.probes import Probe, offered_words, probes, verdict
from app.schemas import types
from app.schemas.table import ReadSchema, TableSchema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo

    from app.schemas.types import Meaning

Schema = type[TableSchema]
_TYPES_FILE = "backend/app/schemas/types.py"
_TABLES_FILE = "backend/app/schemas/__init__.py"
_PROBES_FILE = "backend/app/db/probes.py"


def schema_differences(
    schemas: Sequence[Schema] | None = None, unread: Mapping[str, str] = app.schemas.UNREAD_TABLES
) -> list[Difference]:
    """What the schemas (default: all of `app.schemas`) and the models don't agree on; empty when they do.

    The annotations of `app.schemas.types` come first, one at a time: while one is wrong, whatever uses it is, too.
    """
    if wrong := annotation_differences(vars(types), types.MEANINGS):
        return wrong[:1]
    schemas = all_schemas() if schemas is None else schemas
    whole = [schema for schema in schemas if hasattr(schema, "model")]
    return [
        *(_about(schema, None, "says no model") for schema in schemas if schema not in whole),
        *_field_differences(whole),
        *_merged(_reason_findings(whole)),
        *_table_differences(whole, unread),
    ]


def all_schemas() -> list[Schema]:
    """Every class of `app.schemas` that stands for a table, in the order of the modules."""
    names = [module.name for module in pkgutil.iter_modules(app.schemas.__path__, "app.schemas.")]
    modules = [importlib.import_module(name) for name in names if name != TableSchema.__module__]
    return [
        found
        for module in modules
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, TableSchema) and found.__module__ == module.__name__
    ]


def annotation_differences(annotations: Mapping[str, Any], meanings: Mapping[str, Meaning]) -> list[Difference]:
    """Which of the named annotations don't accept exactly what the column type does that they claim to stand for."""
    found = [
        (name, meaning, verdict(TypeAdapter(annotations[name]), _never_null(meaning)))
        for name, meaning in meanings.items()
    ]
    return [
        Difference(_TYPES_FILE, name, f"{wrong}; it stands for {_sql_words(meaning.type)}")
        for name, meaning, wrong in found
        if wrong
    ]


def _never_null(meaning: Meaning) -> list[Probe]:
    return [*probes(meaning.type, reading=meaning.reading), Probe("null", None, taken=False)]


# Fields --------------------------------------------------------------------------------------------------------------


def _field_differences(schemas: Iterable[Schema]) -> Iterator[Difference]:
    seen = set[tuple[Schema, str, str]]()
    for schema in schemas:
        table = _table(schema)
        for name, info in schema.model_fields.items():
            key = (_owner(schema, name), name, table.name)
            if name in table.columns and key not in seen:
                seen.add(key)
                if text := _field_verdict(schema, info, table.columns[name]):
                    yield _about(key[0], name, f"{text}; the column {_column_words(table.columns[name])}")


def _field_verdict(schema: Schema, info: FieldInfo, column: Column[Any]) -> str:
    for alias in (info.alias, info.validation_alias, info.serialization_alias):
        if alias not in (None, column.name):
            return f"is called {alias} in JSON"
    config = ConfigDict(**schema.model_config)
    annotation: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    adapter = TypeAdapter[Any](annotation, config=config)
    try:
        tried = probes(column.type, reading=issubclass(schema, ReadSchema))
    except LookupError:
        return f"can't be proven, because {_PROBES_FILE} knows no values for it"
    if isinstance(column.type, sql.Enum):
        foreign = offered_words(adapter) - set(column.type.enums)
        tried += [Probe(f"'{word}'", word, taken=False) for word in sorted(foreign)]
    return verdict(adapter, [*tried, Probe("null", None, taken=bool(column.nullable))])


def _owner(schema: Schema, field: str) -> Schema:
    """The class that declares the field: the one to change."""
    return next(
        (base for base in schema.__mro__ if issubclass(base, TableSchema) and field in inspect.get_annotations(base)),
        schema,
    )


# Reasons -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Finding:
    """A name without its reason (`lack`), or a reason or field without its need (`excess`); maybe both."""

    schema: Schema
    name: str
    text: str
    lack: bool = False
    excess: bool = False

    @property
    def table(self) -> str:
        return _table(self.schema).name


def _reason_findings(schemas: Sequence[Schema]) -> list[_Finding]:
    unique = dict[tuple[Schema, str], _Finding]()
    for schema in schemas:
        for finding in (*_undeclared(schema), *_stale_not_columns(schema)):
            unique.setdefault((finding.schema, finding.name), finding)
    by_table = dict[str, list[type[ReadSchema]]]()
    for schema in schemas:
        if issubclass(schema, ReadSchema):
            by_table.setdefault(_table(schema).name, []).append(schema)
    for readers in by_table.values():
        for finding in _not_shown_findings(readers):
            unique.setdefault((finding.schema, finding.name), finding)
    return list(unique.values())


def _undeclared(schema: Schema) -> Iterator[_Finding]:
    table, reasons = _table(schema), _reasons(schema, "not_columns")
    for name in schema.model_fields:
        if name not in table.columns and name not in reasons:
            text = f"is no column of {table.name}, and not_columns gives no reason"
            yield _Finding(_owner(schema, name), name, text, lack=True, excess=True)
    for name in schema.model_computed_fields:
        if name in table.columns:
            yield _Finding(schema, name, f"is computed, and a column of {table.name}")
        elif name not in reasons:
            yield _Finding(schema, name, f"is no column of {table.name}, and not_columns gives no reason", lack=True)


def _stale_not_columns(schema: Schema) -> Iterator[_Finding]:
    fields = {*schema.model_fields, *schema.model_computed_fields}
    for name in vars(schema).get("not_columns", ()):
        if name not in fields:
            yield _Finding(schema, name, "not_columns gives a reason for it, and there is no such field", excess=True)
        elif name in _table(schema).columns:
            yield _Finding(schema, name, "not_columns gives a reason for it, and it is a column", excess=True)


def _not_shown_findings(readers: Sequence[type[ReadSchema]]) -> Iterator[_Finding]:
    """About the columns that the read schemas of one table show together."""
    table = _table(readers[0])
    shown = {name: schema for schema in readers for name, info in schema.model_fields.items() if not info.exclude}
    reasons = {name for schema in readers for name in _reasons(schema, "not_shown")}
    for column in sorted({*table.columns.keys()} - shown.keys() - reasons):
        text = f"no read schema shows the column {table.name}.{column}, and not_shown gives no reason"
        yield _Finding(readers[0], column, text, lack=True)
    for schema in readers:
        for name in vars(schema).get("not_shown", ()):
            if name not in table.columns:
                text = f"not_shown gives a reason for it, and {table.name} has no such column"
                yield _Finding(schema, name, text, excess=True)
            elif name in shown:
                yield _Finding(schema, name, f"not_shown gives a reason for it, and {shown[name].__name__} shows it")


def _reasons(schema: Schema, kind: str) -> set[str]:
    return {name for base in schema.__mro__ for name in vars(base).get(kind, ())}


def _merged(findings: Sequence[_Finding]) -> list[Difference]:
    """A misspelt name is one mistake that lacks and exceeds at once: one line remains, with the name that is meant."""
    kept = {(finding.schema, finding.name): finding for finding in findings}
    for lack in (finding for finding in findings if finding.lack):
        others = {other.name: other for other in kept.values() if _may_mean(other, lack)}
        for near in get_close_matches(lack.name, others, n=1, cutoff=0.8):
            other = others[near]
            kept[other.schema, near] = replace(other, text=f"{other.text}; is {lack.name} meant?")
            kept.pop((lack.schema, lack.name), None)
    return [_about(finding.schema, finding.name, finding.text) for finding in kept.values()]


def _may_mean(other: _Finding, lack: _Finding) -> bool:
    return other.excess and other.name != lack.name and other.table == lack.table


# Tables and words ----------------------------------------------------------------------------------------------------


def _table_differences(schemas: Iterable[Schema], unread: Mapping[str, str]) -> Iterator[Difference]:
    shown = {_table(schema).name for schema in schemas if issubclass(schema, ReadSchema)}
    for name in sorted(Base.metadata.tables.keys() - shown - unread.keys()):
        yield Difference(_TABLES_FILE, name, "has no read schema, and UNREAD_TABLES gives no reason")
    for name in unread:
        if name in shown:
            yield Difference(_TABLES_FILE, name, "UNREAD_TABLES gives a reason for it, and it has a read schema")
        elif name not in Base.metadata.tables:
            yield Difference(_TABLES_FILE, name, "UNREAD_TABLES gives a reason for it, and there is no such table")


def _table(schema: Schema) -> Table:
    table = schema.model.__table__
    assert isinstance(table, Table)  # noqa: S101 - our models are tables, not joins
    return table


def _about(schema: Schema, field: str | None, text: str) -> Difference:
    file = Path(str(sys.modules[schema.__module__].__file__)).resolve().relative_to(CHECKOUT).as_posix()
    return Difference(file, f"{schema.__name__}.{field}" if field else schema.__name__, text)


def _column_words(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name} is {_sql_words(column.type)}{'' if column.nullable else ' not null'}"


def _sql_words(kind: sql.TypeEngine[Any]) -> str:
    if isinstance(kind, sql.Enum):
        return "one of " + ", ".join(kind.enums)
    return kind.compile(dialect=engine.dialect).lower()
