"""Column types and defaults that several tables share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from sqlalchemy import DateTime, Enum, text
from sqlalchemy.orm import mapped_column

NOW = text("CURRENT_TIMESTAMP")

Timestamp = Annotated[datetime, mapped_column(DateTime(timezone=True))]
"""`timestamp with time zone`, without a default."""

CreatedAt = Annotated[datetime | None, mapped_column(DateTime(timezone=True), server_default=NOW)]
"""The time of the insert, kept by the server."""


def text_enum(values: type[StrEnum]) -> Enum:
    """A `varchar(50)` that holds the enum's values; the table's own CHECK constrains it."""
    return Enum(values, native_enum=False, length=50, values_callable=list, create_constraint=False)
