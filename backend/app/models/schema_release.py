"""Which releases may run on this schema."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, String, true
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class SchemaRelease(Base):
    """One row: the oldest release that works on the schema as it stands; each migration keeps it."""

    __tablename__ = "schema_release"
    __table_args__ = (
        CheckConstraint("id", name="schema_release_id_check"),
        {"comment": "One row: the oldest release that works on this schema. Migrations keep it."},
    )

    id: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    oldest_release: Mapped[str] = mapped_column(String(32))
