"""The models' base, the application's engine, and one session per request.

Importing this connects to nothing. Other engines are made by `app.db.connect`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy import CheckConstraint, MetaData, Table
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from app.core.config import settings
from app.db import connect, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from app.core.config import Settings


def _checked_columns(constraint: CheckConstraint, table: Table) -> str:
    """What PostgreSQL puts into a check's name: `_column` if it is about one column, nothing if about several.

    An SQL text doesn't say which columns it is about, so such a check has to carry its name. Source: PostgreSQL,
    ChooseConstraintName in heap.c (AddRelationNewConstraints).
    """
    names = {column.name for column in constraint.columns}
    if not names:
        raise ValueError(f"a check on {table.name} is SQL text: give it the name that PostgreSQL would")
    return f"_{names.pop()}" if len(names) == 1 else ""


POSTGRES_NAMES: dict[str, Any] = {
    "checked_columns": _checked_columns,
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s%(checked_columns)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}
"""PostgreSQL's own default names, so that models, SQL and migrations say the same. A name that is given stays as it is."""


class Base(DeclarativeBase):
    """Base of all models; `Base.metadata` describes the whole schema once `app.models` is imported."""

    metadata = MetaData(naming_convention=POSTGRES_NAMES)


def make_engine(settings: Settings) -> Engine:
    """The application's engine: pooled by the settings, dropped in forked children, slow statements logged."""
    engine = connect.engine_for(
        connect.parse_url(settings.DATABASE_URL),
        application_name=settings.APPLICATION_NAME,
        pool_size=settings.DB_POOL_SIZE,
        max_overflow=settings.DB_MAX_OVERFLOW,
        pool_pre_ping=settings.DB_POOL_PRE_PING,
        pool_recycle=settings.DB_POOL_RECYCLE_SECONDS,
        pool_timeout=settings.DB_POOL_TIMEOUT_SECONDS,
    )
    # A child must not speak on its parent's sockets, nor close them: it forgets them and connects anew (Celery prefork).
    os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
    watch.watch(engine, settings.DB_SLOW_STATEMENT_MS)
    return engine


engine = make_engine(settings)
SessionLocal = sessionmaker(bind=engine)


def get_db() -> Iterator[Session]:
    """FastAPI's dependency: one session per request; rolled back if the endpoint fails, always closed.

    It commits nothing: services and endpoints do.
    """
    db = SessionLocal()
    try:
        yield db
    except BaseException:
        db.rollback()
        raise
    finally:
        db.close()
