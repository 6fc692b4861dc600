"""Servers and databases to measure on."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.pool import NullPool

from app.db import connect, scratch
from app.db.queries import INIT_DB
from tests.servers import EMPTY, HEAD, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

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
