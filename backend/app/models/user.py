"""Who uses the instance."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Boolean, DateTime, FetchedValue, String, false, func, or_, text, true
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.base import Base
from app.models.columns import NOW, CreatedAt

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from app.models.media import Comment, MediaFile, Speaker, Task


ADMIN_ROLE = "admin"


class User(Base):
    """A person with a login."""

    __tablename__ = "user"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    hashed_password: Mapped[str] = mapped_column(String(255))
    full_name: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(Boolean, server_default=true())
    is_superuser: Mapped[bool] = mapped_column(Boolean, server_default=false())
    role: Mapped[str | None] = mapped_column(String(50), server_default=text("'user'"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=NOW, server_onupdate=FetchedValue()
    )

    media_files: Mapped[list[MediaFile]] = relationship(back_populates="user", passive_deletes="all")
    speakers: Mapped[list[Speaker]] = relationship(back_populates="user", passive_deletes="all")
    comments: Mapped[list[Comment]] = relationship(back_populates="user", passive_deletes="all")
    tasks: Mapped[list[Task]] = relationship(back_populates="user", passive_deletes="all")

    @hybrid_property
    def is_admin(self) -> bool:
        """Whether they may do what administrators do: OpenTranscribe says so in either of two columns."""
        return self.is_superuser or self.role == ADMIN_ROLE

    @is_admin.inplace.expression
    @classmethod
    def _is_admin(cls) -> ColumnElement[bool]:
        return or_(cls.is_superuser, func.coalesce(cls.role, "") == ADMIN_ROLE)
