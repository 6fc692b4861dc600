"""Sessions outside of requests, and objects that have outlived their session."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Engine, inspect, literal, select
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    InvalidRequestError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.orm import Session, object_session, undefer

from app.db.base import SessionLocal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import InstanceState

T = TypeVar("T")

_BROKEN = (InvalidRequestError, DBAPIError)
_STATEMENTS_OWN_FAULT = (IntegrityError, DataError, ProgrammingError, NotSupportedError)


@contextmanager
def session_scope() -> Iterator[Session]:
    """A session for a task or a script: commits on success, rolls back and re-raises on any error, always closes."""
    session = SessionLocal()
    try:
        yield session
        session.commit()
    except BaseException:
        # Where the connection is gone, so is the transaction; what is raised is what went wrong first.
        with suppress(SQLAlchemyError):
            session.rollback()
        raise
    finally:
        session.close()


def get_refreshed_object(db: Session, model_class: type[T], obj_id: object) -> T | None:
    """The object of this primary key as the database has it now; None when it is gone.

    Changes that `db` hasn't flushed yet are flushed first; what they raise is raised. With a session that can't work
    any more (closed for good, waiting for a rollback, its connection lost) the object comes from a session of our own:
    detached, with all its columns loaded. `db` itself stays as it is.
    """
    if obj_id is None:  # SQLAlchemy finds nothing either, but warns
        return None
    try:
        return _load(db, model_class, obj_id)
    except _STATEMENTS_OWN_FAULT:
        raise
    except _BROKEN:
        return _load_elsewhere(db, model_class, obj_id)


def _load(session: Session, model_class: type[T], identity: object) -> T | None:
    return session.get(model_class, identity, options=[undefer("*")], populate_existing=True)


def _load_elsewhere(db: Session, model_class: type[T], identity: object) -> T | None:
    """Loads from `db`'s own database; from the application's if that one doesn't answer."""
    try:
        with _session_like(db) as own:
            return _load(own, model_class, identity)
    except OperationalError:
        with SessionLocal() as own:
            return _load(own, model_class, identity)


def _session_like(db: Session) -> Session:
    """A new session on the engine of `db`, which may be another than ours (FastAPI's overrides)."""
    bind = db.get_bind()
    engine = bind if isinstance(bind, Engine) else bind.engine
    return Session(engine)


def refresh_session_object(obj: T | None, session: Session | None = None) -> tuple[T | None, Session | None]:
    """The object as the database has it now, with the session that it is attached to.

    An object of `session` (None: of any session) is refreshed; a detached one is attached to `session`, and one of
    another session has its counterpart there. Without a session that works, a new one is made, and the caller closes
    it. Unflushed changes are flushed, not lost. `(None, None)` for None; `(None, session)` for a row that is gone, and
    then its object is in no session. Raises `InvalidRequestError` for an object that was never stored.
    """
    if obj is None:
        return None, None
    if inspect(obj).identity is None:
        raise InvalidRequestError(f"this {type(obj).__name__} was never stored, so there is nothing to refresh it from")
    target = session or object_session(obj)
    if target is not None:
        try:
            return _attached(obj, target), target
        except _STATEMENTS_OWN_FAULT:
            raise
        except _BROKEN:
            if session is not None:
                raise
    return _in_new_session(obj)


def _attached(obj: T, session: Session) -> T | None:
    """`obj` itself, or where it can't be in `session` its counterpart there, refreshed; None if the row is gone."""
    state = inspect(obj)
    if not _exists(session, state):
        dead = session.identity_map.get(state.key)
        if dead is not None:
            session.expunge(dead)
        return None
    if state.detached and state.key not in session.identity_map:
        session.add(obj)
    return _load(session, type(obj), state.identity)


def _exists(session: Session, state: InstanceState[Any]) -> bool:
    """Whether the object's row is there. Flushes nothing: an UPDATE of a row that is gone would raise."""
    columns = zip(state.mapper.primary_key, state.identity or (), strict=True)
    question = select(literal(1)).where(*(column == value for column, value in columns))
    with session.no_autoflush:
        return session.scalar(question) is not None


def _in_new_session(obj: T) -> tuple[T | None, Session]:
    session = SessionLocal()
    try:
        return _attached(obj, session), session
    except BaseException:
        session.close()
        raise
