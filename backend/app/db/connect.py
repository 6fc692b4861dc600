"""Ways to the database: parsing an address, pooled engines, and direct connections that refuse a pooler.

Source of the rules: shared design §4 (three ways to the database); libpq's connection parameters.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg2
from psycopg2.extensions import parse_dsn
from sqlalchemy import URL, create_engine, event, exc, make_url
from sqlalchemy.pool import NullPool

from app.db import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

DRIVER = "postgresql+psycopg2"
DEFAULTS = {"connect_timeout": 10, "keepalives_idle": 60}
"""libpq's connection parameters, in seconds; the address itself may say otherwise (`?connect_timeout=2`)."""

WRITE_IT_SO = "write postgresql://role:password@host:port/database"
INSUFFICIENT_PRIVILEGE = "42501"
_FOREIGN_DRIVERS = ("postgres", "postgresql")


def parse_url(text: str) -> URL:
    """An address as people write it, as a URL that names our driver.

    Takes `postgresql://...`, `postgres://...` and libpq's `host=... dbname=...`. SQLAlchemy 2.1 reads a bare
    `postgresql://` as psycopg 3, hence the explicit driver. Raises `BadInput`.
    """
    if not text.strip():
        raise errors.BadInput("the database's address is empty", WRITE_IT_SO)
    if "://" not in text:
        return _from_keywords(text)
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError) as error:
        raise errors.BadInput("that isn't a database address", WRITE_IT_SO) from error
    if url.drivername not in (*_FOREIGN_DRIVERS, DRIVER):
        raise errors.BadInput(
            f"{url.drivername} is not PostgreSQL through psycopg2", f"write {DRIVER}://role@host/database"
        )
    if "@" in (url.host or ""):
        raise errors.BadInput("the password in the address has an @ in it", "write %40 for it")
    return url.set(drivername=DRIVER)


def _from_keywords(text: str) -> URL:
    try:
        words: dict[str, str] = parse_dsn(text)
    except psycopg2.ProgrammingError as error:
        raise errors.BadInput("that isn't a database address", WRITE_IT_SO) from error
    host = words.pop("host", None)
    port = words.pop("port", None)
    socket_folder = host if host and host.startswith("/") else None
    return URL.create(
        DRIVER,
        username=words.pop("user", None),
        password=words.pop("password", None),
        host=None if socket_folder else host,
        port=_number(port),
        database=words.pop("dbname", None),
        query=words | ({"host": socket_folder} if socket_folder else {}),
    )


def _number(port: str | None) -> int | None:
    if port and not port.isdecimal():
        raise errors.BadInput(f"the port {port} is no number", WRITE_IT_SO)
    return int(port) if port else None


def describe(url: URL) -> str:
    """The address without secrets, for messages: `app_rw@localhost:5432/opentranscribe`."""
    host = url.host or url.query.get("host") or "the local socket"
    port = url.port or url.query.get("port") or 5432
    return f"{url.username or 'the current user'}@{host}:{port}/{url.database or url.username or ''}"


def engine_for(url: URL, *, application_name: str, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's own keywords
    """The one way engines are made: our driver's name shown to the server, values kept out of error texts."""
    return create_engine(
        url,
        hide_parameters=True,
        connect_args={
            **{name: value for name, value in DEFAULTS.items() if name not in url.query},
            "application_name": application_name,
            **options.pop("connect_args", {}),
        },
        **options,
    )


def direct_engine(url: URL, *, application_name: str, settings: Mapping[str, str] | None = None) -> Engine:
    """An engine to Postgres itself, without a pool of its own, with server settings that hold from the first statement.

    `settings` travel in the start-up packet (`-c name=value`): SQL on Alembic's own connection before `configure()`
    would make an upgrade persist nothing. `search_path` is `public`, whatever the role or the database has.
    Connecting through a pooler raises `PooledConnection`.
    """
    settings = {"search_path": "public"} | dict(settings or {})
    words = " ".join(f"-c {_escaped(f'{name}={value}')}" for name, value in settings.items())
    connect_args = {"options": words}
    engine = engine_for(url, application_name=application_name, poolclass=NullPool, connect_args=connect_args)

    @event.listens_for(engine, "connect")
    def _refuse_pooler(dbapi_connection: Any, _record: object) -> None:  # noqa: ANN401 - psycopg2's connection has no public stub
        if is_pooled(dbapi_connection):
            raise errors.PooledConnection(describe(url))

    return engine


def _escaped(word: str) -> str:
    """A word of libpq's `options`, which splits at spaces unless a backslash stands before them."""
    return word.replace("\\", "\\\\").replace(" ", "\\ ")


def is_pooled(dbapi_connection: Any) -> bool:  # noqa: ANN401
    """Whether a pooler stands between: the pid of the start-up packet isn't the serving backend's."""
    with dbapi_connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    dbapi_connection.rollback()
    return bool(pid != dbapi_connection.info.backend_pid)


@contextmanager
def direct(url: URL, application_name: str, settings: Mapping[str, str] | None = None) -> Iterator[Connection]:
    """One direct connection in AUTOCOMMIT, closed at the end; `direct_engine` is for work that wants transactions.

    Raises `ServerUnreachable` (also when the connection breaks later), `LoginRefused`, `DatabaseMissing`,
    `PooledConnection`, and `RightsMissing` when the server denies a statement to this role.
    """
    engine = direct_engine(url, application_name=application_name, settings=settings)
    with translated(url):
        connection = interruptible(engine.connect).execution_options(isolation_level="AUTOCOMMIT")
    try:
        yield connection
    except exc.DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == INSUFFICIENT_PRIVILEGE:
            hint = "connect as app_migrator or the database's owner: --dsn or MIGRATOR_DATABASE_URL"
            raise errors.RightsMissing(
                url.username or "that you are", f"do that: {_first_line(error)}", hint
            ) from error
        if error.connection_invalidated:
            raise errors.ServerUnreachable(describe(url), _first_line(error)) from error
        raise
    finally:
        connection.close()
        engine.dispose()


def _first_line(error: exc.DBAPIError) -> str:
    return (str(error.orig).strip().splitlines() or [type(error.orig).__name__])[0]


def interruptible(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """What `work` returns or raises; Ctrl-C ends the wait at once, which libpq would put off until it has its answer.

    `cancel` is called then, to end the work itself, which is waited for.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="database work", daemon=True)
    thread.start()
    try:
        return outcome.result()
    except KeyboardInterrupt:
        if cancel is not None:
            cancel()
            thread.join()
        raise


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Turns the driver's connection failures into typed errors that name the address."""
    try:
        yield
    except exc.OperationalError as error:
        raise _connection_error(url, str(error.orig).strip()) from error
    except exc.ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) is not None:
            raise
        raise errors.BadInput(f"the address can't be used: {_first_line(error)}", WRITE_IT_SO) from error


def _connection_error(url: URL, text: str) -> errors.DbError:
    lines = text.splitlines() or ["no reason given"]
    address, reason = describe(url), lines[0].partition("failed: ")[2] or lines[-1].strip()
    if any(fault in text for fault in ("invalid sslmode", "invalid port", "definition of service")):
        return errors.BadInput(f"the address can't be used: {lines[0]}", WRITE_IT_SO)
    if "unsupported startup parameter" in text:
        return errors.PooledConnection(address)
    if 'database "' in text and "does not exist" in text:
        return errors.DatabaseMissing(address)
    refusals = (
        "authentication failed",
        "no password supplied",
        "pg_hba.conf",
        "is not permitted to log in",
        "does not exist",
    )
    if any(refusal in text for refusal in refusals):
        return errors.LoginRefused(address, reason)
    return errors.ServerUnreachable(address, reason)
