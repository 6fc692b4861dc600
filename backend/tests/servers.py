"""The scratch servers of one test process: started when first asked for, stopped at the end of the run."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import pytest

from app.db import binaries, connect, errors, scratch
from tests.pgbouncer import PgBouncer, run_pgbouncer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL

INIT_SQL = binaries.CHECKOUT / "database" / "init_db.sql"
EMPTY = "opentr_template_empty"
HEAD = "opentr_template_head"
LOGINS = ("app_rw", "app_ro", "app_migrator", "app_monitor", "pgb_auth")


def leave_out(what: str) -> NoReturn:
    """Skips a test on a user's machine that lacks a program, and fails it in CI, where nothing may be left out."""
    message = f"{what}; scripts/debian_servers.sh fetches what is missing, without root"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(f"left out: {message}")


@dataclass
class Server:
    """A running scratch server with the roles of roles.sql, each with a random password, and templates."""

    url: URL
    passwords: dict[str, str] = field(default_factory=lambda: {role: secrets.token_hex(16) for role in LOGINS})

    def give_passwords(self) -> None:
        """Sets the passwords of the roles that log in."""
        with connect.direct(self.url, "tests") as connection, connection.begin():
            for role, password in self.passwords.items():
                connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD '{password}'")

    def make_template(self, name: str, template: str | None = None) -> URL:
        """A new database that stays; with the roles' rights in it."""
        with connect.direct(self.url, "tests") as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
                f"CREATE DATABASE {name} TEMPLATE {template or 'template0'}"
            )
        url = self.url.set(database=name)
        scratch.prepare(url)
        return url

    @contextlib.contextmanager
    def clone(self, template: str) -> Iterator[URL]:
        """A database like the template, with roles.sql's rights on it, which CREATE DATABASE doesn't copy."""
        with scratch.scratch_database(self.url, template) as url:
            scratch.prepare(url)
            yield url


class Servers:
    """The servers and pools of this process, by major version."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._servers: dict[int, Server] = {}
        self._pools: dict[int, PgBouncer] = {}
        self._heads: set[int] = set()

    def get(self, major: int) -> Server:
        """The server of this major version, with roles and the template `EMPTY`."""
        if major not in self._servers:
            try:
                bindir = scratch.find_server(major)
            except errors.ServerBinaryMissing:
                leave_out(f"no PostgreSQL {major} on this machine")
            server = Server(self._stack.enter_context(scratch.scratch_server(bindir)))
            server.make_template(EMPTY)
            server.give_passwords()
            self._servers[major] = server
        return self._servers[major]

    def with_head(self, major: int) -> Server:
        """The same, with the template `HEAD`."""
        server = self.get(major)
        if major not in self._heads:
            scratch.execute_file(server.make_template(HEAD, EMPTY), INIT_SQL, "app_owner")
            self._heads.add(major)
        return server

    def pool(self, major: int) -> PgBouncer:
        """The pool in front of that server."""
        server = self.get(major)
        if major not in self._pools:
            try:
                self._pools[major] = self._stack.enter_context(run_pgbouncer(server.url, server.passwords))
            except errors.ServerBinaryMissing as missing:
                leave_out(missing.what)
        return self._pools[major]

    def owner_of(self, url: URL) -> Server:
        """The server that a URL of one of its databases belongs to, directly or through its pool."""
        for major, server in self._servers.items():
            if url.port in (server.url.port, self._pools[major].port if major in self._pools else None):
                return server
        raise LookupError(str(url))

    def logs(self) -> dict[str, Path]:
        """The log files of what runs."""
        servers = {f"PostgreSQL {major}": scratch.log_of(server.url) for major, server in self._servers.items()}
        return servers | {f"PgBouncer of PostgreSQL {major}": pool.log for major, pool in self._pools.items()}
