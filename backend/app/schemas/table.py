"""What a schema says about the table that it stands for; `app.db.fields` proves it against the model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from app.db.base import Base

NONE: Mapping[str, str] = MappingProxyType({})


class TableSchema(BaseModel):
    """A schema for the rows of one table.

    A field named like a column accepts exactly what the column does. Keys that are no field are ignored, because
    clients send whole objects back.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    model: ClassVar[type[Base]]
    """The table."""

    not_columns: ClassVar[Mapping[str, str]] = NONE
    """The fields that are no column, each with its reason. A subclass adds to its base."""


class ReadSchema(TableSchema):
    """What a row shows; made from the ORM object by `model_validate`."""

    model_config = ConfigDict(from_attributes=True)

    not_shown: ClassVar[Mapping[str, str]] = NONE
    """The columns that no read schema of the table shows, each with its reason."""


class CreateSchema(TableSchema):
    """What a new row takes from outside; the columns that it leaves out are filled by us or by the server."""


class UpdateSchema(TableSchema):
    """What may change in a row. A field that is left out is `MISSING`, and `model_dump()` has only what was sent."""


def shown(example: dict[str, Any]) -> ConfigDict:
    """What the API's document gives as an example of a schema."""
    return ConfigDict(json_schema_extra={"examples": [example]})
