"""Servers and databases to measure on."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.core.security import get_password_hash, make_token
from app.db import connect, scratch
from app.db.queries import INIT_DB
from app.models import User
from tests.redis_server import own_redis
from tests.servers import EMPTY, HEAD, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from sqlalchemy import URL, Engine

APPLICATION_NAME = "opentr-bench"
DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "maintenance_work_mem": "256MB",
}
"""What differs from the settings of a test server: durability, and sizes of a small production server."""

_KEY = "k" * 32


@contextmanager
def durable_server() -> Iterator[Server]:
    """A server with the roles, their passwords and the template `HEAD`."""
    with scratch.scratch_server(settings=DURABLE, on_disk=True) as url:
        server = Server(url)
        server.make_template(EMPTY)
        server.give_passwords()
        scratch.execute_file(server.make_template(HEAD, EMPTY), INIT_DB, "app_owner")
        yield server


@contextmanager
def engine_on(url: URL) -> Iterator[Engine]:
    """An engine for one thing after another."""
    engine = connect.engine_for(url, application_name=APPLICATION_NAME, poolclass=NullPool)
    yield engine
    engine.dispose()


def run(url: URL, *statements: str) -> None:
    """Runs statements, each committed."""
    with connect.direct(url, APPLICATION_NAME) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def api_settings(stack: ExitStack, database: URL) -> tuple[Path, dict[str, str]]:
    """A folder, and the settings with which an API keeps all of its own there; a Redis comes with it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
    (folder / "media").mkdir()
    (folder / "key").write_text(_KEY)
    return folder, {
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "REDIS_URL": stack.enter_context(own_redis()).url,
        "JWT_SECRET_FILE": str(folder / "key"),
        "MEDIA_ROOT": str(folder / "media"),
    }


def signed_in(database: URL) -> str:
    """The access token of a new user, for an API with these settings."""
    with engine_on(database) as engine, Session(engine) as session, session.begin():
        user = User(email="bench@example.org", full_name="Bench", hashed_password=get_password_hash("of nobody"))
        session.add(user)
        session.flush()
        return make_token(user.id, _KEY, timedelta(hours=1))
