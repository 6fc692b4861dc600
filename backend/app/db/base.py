"""The models' base, the application's engine, and one session per request.

Importing this connects to nothing. Other engines are made by `app.db.connect`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.extensions
from sqlalchemy import CheckConstraint, MetaData, Table
from sqlalchemy.exc import SQLAlchemyError
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
"""PostgreSQL's own default names, so that models, SQL and migrations agree. A name that is given stays as it is."""


class Base(DeclarativeBase):
    """Base of all models; `Base.metadata` describes the whole schema once `app.models` is imported."""

    metadata = MetaData(naming_convention=POSTGRES_NAMES)


class ProcessBound(psycopg2.extensions.connection):
    """A connection that a forked child can't use or close by mistake, in a session that it inherited.

    Two processes on one socket get each other's answers, and the first one to close it ends it for both.
    """

    def __init__(self, *args: Any, **words: Any) -> None:  # noqa: ANN401 - the driver's own
        super().__init__(*args, **words)
        self._process = os.getpid()

    def cursor(self, *args: Any, **words: Any) -> Any:  # noqa: ANN401 - likewise
        """The driver's, in the process that connected. Raises `psycopg2.InterfaceError` in another."""
        self._refuse_elsewhere()
        return super().cursor(*args, **words)

    def commit(self) -> None:
        """Likewise."""
        self._refuse_elsewhere()
        super().commit()

    def rollback(self) -> None:
        """The driver's; in another process nothing, because that transaction isn't its own."""
        if self._process == os.getpid():
            super().rollback()

    def close(self) -> None:
        """Likewise."""
        if self._process == os.getpid():
            super().close()

    def _refuse_elsewhere(self) -> None:
        if self._process != os.getpid():
            # With these words SQLAlchemy takes the connection for lost: after a rollback the session gets its own.
            raise psycopg2.InterfaceError("connection already closed: it belongs to the process that forked this one")


def make_engine(settings: Settings) -> Engine:
    """The application's engine: pooled by the settings, dropped in forked children, slow statements logged."""
    engine = connect.engine_for(
        connect.parse_url(settings.DATABASE_URL),
        application_name=settings.APPLICATION_NAME,
        connect_args={"connection_factory": ProcessBound},
        pool_size=settings.DB_POOL_SIZE,
        max_overflow=settings.DB_MAX_OVERFLOW,
        pool_pre_ping=settings.DB_POOL_PRE_PING,
        pool_recycle=settings.DB_POOL_RECYCLE_SECONDS,
        pool_timeout=settings.DB_POOL_TIMEOUT_SECONDS,
    )
    # A child must neither speak on its parent's sockets nor close them: it forgets them (Celery prefork).
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
        # Where the connection is gone, so is the transaction; what is raised is what the endpoint raised.
        with suppress(SQLAlchemyError):
            db.rollback()
        raise
    finally:
        db.close()
