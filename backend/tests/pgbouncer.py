"""A real PgBouncer in transaction mode for tests, in front of a scratch server."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from app.db import binaries, errors, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

OLDEST = (1, 23)
POOL_SIZE = 4
_ADMIN = "pool_admin"
_INI = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/userlist.txt
admin_users = {admin}
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
server_login_retry = 1
"""


@dataclass(frozen=True)
class PgBouncer:
    """A running pool: any database of its server, for the roles that have a password."""

    port: int
    log: Path
    admin_password: str

    def through(self, url: URL) -> URL:
        """The same role and database, through the pool."""
        return url.set(host="127.0.0.1", port=self.port, query={})

    def console(self, command: str) -> list[tuple[Any, ...]]:
        """What the admin console answers to a command such as SHOW SERVERS."""
        with contextlib.closing(self._log_in()) as connection, connection.cursor() as cursor:
            cursor.execute(command)
            return list(cursor.fetchall()) if cursor.description else []

    def _log_in(self) -> Any:  # noqa: ANN401 - psycopg2's connection
        connection = psycopg2.connect(
            dbname="pgbouncer", user=_ADMIN, password=self.admin_password, host="127.0.0.1", port=self.port
        )
        connection.autocommit = True  # the console knows no BEGIN
        return connection


def find_pgbouncer() -> Path:
    """PgBouncer 1.23 or newer, installed or fetched. Raises `ServerBinaryMissing`."""
    for program in [Path("/usr/sbin/pgbouncer"), *binaries.FETCHED.glob("*/usr/sbin/pgbouncer")]:
        if program.exists() and binaries.version_of(program) >= OLDEST:
            return program
    raise errors.ServerBinaryMissing("PgBouncer 1.23 or newer")


@contextlib.contextmanager
def run_pgbouncer(server: URL, passwords: Mapping[str, str]) -> Iterator[PgBouncer]:
    """A pool in front of `server` for the roles of `passwords`; ends with us."""
    port, admin_password = scratch.free_port(), secrets.token_hex(16)
    users = {**passwords, _ADMIN: admin_password}
    with scratch.private_folder() as folder:
        program = binaries.for_account(find_pgbouncer(), folder)
        ini = _INI.format(server_port=server.port, port=port, folder=folder, admin=_ADMIN, pool_size=POOL_SIZE)
        scratch.write_readable(folder / "pgbouncer.ini", ini)
        lines = [f'"{name}" "{password}"\n' for name, password in users.items()]
        scratch.write_readable(folder / "userlist.txt", "".join(lines))
        argv = [str(program), str(folder / "pgbouncer.ini")]
        with scratch.kept_process(folder, [argv], ["SIGQUIT"]) as process:  # on SIGTERM 1.24 waits for its clients
            pool = PgBouncer(port, process.log, admin_password)
            scratch.wait_for(lambda: pool.console("SHOW VERSION"), process)
            yield pool
