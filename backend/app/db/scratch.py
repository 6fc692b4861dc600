"""Throw-away Postgres servers and databases: for tests, `db check` and `db revision`.

A scratch server is a child of ours that can't outlive us: `keeper.py` stands between, stops it and removes its folder
when we are done or gone. It is as durable as its purpose: a crash may lose everything.

Who gets in: over the socket, this account alone, as `postgres` (peer authentication, so the folder's mode is not what
protects it); everybody else by a SCRAM password, which the superuser doesn't have.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pwd
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from app.db import binaries, connect, errors, keeper
from app.db.binaries import find_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import URL

__all__ = [
    "execute_file",
    "find_server",
    "free_port",
    "kept_process",
    "log_of",
    "prepare",
    "private_folder",
    "scratch_database",
    "scratch_server",
    "wait_for",
    "write_readable",
]

APPLICATION_NAME = "opentr-scratch"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a private folder in it
_MEMORY_BYTES = 4 << 30
ROLES_SQL = binaries.CHECKOUT / "database" / "roles.sql"
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_senders": "0",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
}
_START_SECONDS = 60
_STOP_SECONDS = 10
_POLL_SECONDS = 0.02
_LOG_TAIL_LINES = 15
_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without the final NUL
_PORTS = range(20000, 32768)  # below those that Linux gives to clients (ip_local_port_range)
_PORT_ATTEMPTS = 5
_OLDEST_BUILTIN_LOCALE = 17  # PostgreSQL 17 release notes: builtin collation provider
_BUILTIN_LOCALE = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
_LIBC_LOCALE = ["--locale=C.UTF-8"]
_INITDB = ["--username=postgres", "--auth=reject", "--encoding=UTF8", "--no-sync", "--no-instructions"]
_PORT_TAKEN = "could not create any TCP/IP sockets"
_HBA = "local all postgres peer map=scratch\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class KeptProcess:
    """A server process with its folder, both of which end with us."""

    folder: Path
    command: Sequence[str]

    @property
    def log(self) -> Path:
        """What the process prints."""
        return self.folder / "log"

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return (self.folder / "ended").exists()

    def log_tail(self) -> str:
        """The log's last lines."""
        return (
            "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]) if self.log.exists() else ""
        )


@contextlib.contextmanager
def kept_process(folder: Path, commands: Sequence[Sequence[str]], signals: Sequence[str]) -> Iterator[KeptProcess]:
    """Runs `commands` in a row as the server account, the last one being the server; `folder` is removed at the end.

    `signals` are the names of those that stop it, gentlest first, ten seconds each.
    """
    account = binaries.server_account()
    if account:
        os.chown(folder, *account)
    order = {
        "commands": [list(argv) for argv in commands],
        "parent": os.getpid(),
        "log": str(folder / "log"),
        "uid": account and account[0],
        "gid": account and account[1],
        "signals": list(signals),
        "patience": _STOP_SECONDS,
        "folder": str(folder),
    }
    # A session of its own: Ctrl-C in a terminal reaches us, and we stop the server.
    argv = [sys.executable, "-I", "-S", keeper.__file__, json.dumps(order)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, cwd="/", start_new_session=True)
    try:
        yield KeptProcess(folder, commands[-1])
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate(b".", timeout=_STOP_SECONDS * (len(signals) + 2))


@contextlib.contextmanager
def scratch_server(
    bindir: Path | None = None, settings: Mapping[str, str] | None = None, *, on_disk: bool = False
) -> Iterator[URL]:
    """A new server of the programs in `bindir` (default: `find_server()`); yields the superuser's URL of `postgres`.

    It lies in memory where there is plenty, which makes a database three times as fast as on a disk; `on_disk` keeps
    it there. `settings` go over those of `FAST`. Roles with a password also reach it at 127.0.0.1 and the URL's port.
    Raises `ServerBinaryMissing`, `ScratchServerFailed` with the end of the server's log.
    """
    bindir = bindir or find_server()
    with contextlib.ExitStack() as stack:
        if not (bindir / "postgres").exists():
            raise errors.ServerBinaryMissing(f"PostgreSQL in {bindir}")
        place = None if on_disk else _memory(bindir)
        yield _start(stack, bindir, FAST | dict(settings or {}), place)


def _memory(bindir: Path) -> Path | None:
    """The folder of shared memory, unless another temporary folder was chosen, or programs would have to be copied.

    None also where there is little of it (64 MB in a container, by default).
    """
    chosen = tempfile.gettempdir() != "/tmp"  # noqa: S108 - a comparison
    if chosen or not os.access(SHARED_MEMORY, os.W_OK | os.X_OK) or not binaries.runs_there(bindir / "postgres"):
        return None
    return SHARED_MEMORY if shutil.disk_usage(SHARED_MEMORY).free >= _MEMORY_BYTES else None


def _start(stack: contextlib.ExitStack, bindir: Path, settings: Mapping[str, str], place: Path | None) -> URL:
    """Starts on a free port, on another one if somebody took it in the meantime."""
    attempts = itertools.count(1)
    while True:
        try:
            return stack.enter_context(_server_at(bindir, settings, free_port(), place))
        except errors.ScratchServerFailed as failure:
            if _PORT_TAKEN not in failure.what or next(attempts) == _PORT_ATTEMPTS:
                raise


@contextlib.contextmanager
def _server_at(bindir: Path, settings: Mapping[str, str], port: int, place: Path | None) -> Iterator[URL]:
    with private_folder(place) as folder:
        program = binaries.for_account(bindir / "postgres", folder)
        login = pwd.getpwuid(os.geteuid()).pw_name
        write_readable(folder / "pg_hba.conf", _HBA)
        write_readable(folder / "pg_ident.conf", f'scratch "{login}" postgres\n')
        newest = binaries.version_of(bindir / "postgres")[0] >= _OLDEST_BUILTIN_LOCALE
        locale = _BUILTIN_LOCALE if newest else _LIBC_LOCALE
        initdb = [str(program.with_name("initdb")), "--pgdata", str(folder / "data"), *_INITDB, *locale]
        commands = [initdb, _postgres(program, folder, port, settings)]
        with kept_process(folder, commands, ["SIGINT", "SIGQUIT"]) as process:
            words = f"user=postgres host='{folder}' port={port}"
            wait_for(lambda: psycopg2.connect(words).close(), process)
            yield connect.parse_url(f"{words} dbname=postgres")


@contextlib.contextmanager
def private_folder(place: Path | None = None) -> Iterator[Path]:
    """A folder of our own in `place`, removed at the end.

    By default a temporary one, unless sockets in there would have too long a path.
    """
    socket_name = f"/opentr-{'x' * 8}/.s.PGSQL.{_PORTS.stop}.lock"
    fits = len(os.fsencode(tempfile.gettempdir() + socket_name)) <= _SOCKET_PATH_BYTES
    folder = Path(tempfile.mkdtemp(prefix="opentr-", dir=place or (None if fits else "/tmp")))  # noqa: S108 - mkdtemp makes it private
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_readable(path: Path, text: str) -> None:
    """Writes a file that the server account can read, in a folder that only it can enter."""
    path.write_text(text)
    path.chmod(0o644)


def _postgres(program: Path, folder: Path, port: int, settings: Mapping[str, str]) -> list[str]:
    place = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(folder),
        "hba_file": str(folder / "pg_hba.conf"),
        "ident_file": str(folder / "pg_ident.conf"),
    }
    words = [word for name, value in {**settings, **place}.items() for word in ("-c", f"{name}={value}")]
    return [str(program), "-D", str(folder / "data"), *words]


def free_port() -> int:
    """A port that nobody has at this moment; the server itself finds out whether that held."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - no secret
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(
    attempt: Callable[[], object], process: KeptProcess, refusal: type[Exception] = psycopg2.OperationalError
) -> None:
    """Tries until `attempt`, a connection, succeeds; until then it raises `refusal`.

    Raises `ScratchServerFailed` when the process ended or a minute passed.
    """
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            attempt()
        except refusal as error:
            if process.ended or time.monotonic() > deadline:
                raise errors.ScratchServerFailed(process.command[0], process.log_tail() or str(error)) from error
            time.sleep(_POLL_SECONDS)
        else:
            return


def log_of(server: URL) -> Path:
    """The log file of a scratch server."""
    return Path(str(server.query["host"])) / "log"


@contextlib.contextmanager
def scratch_database(
    server: URL, template: str | None = None, name: str | None = None, owner: str | None = None
) -> Iterator[URL]:
    """A new database on `server` (any URL of it whose role may create databases); dropped with its sessions at the end.

    `template` must have no sessions. Copies go through the WAL, Postgres's default: below about 100 MB the fastest way.
    """
    name = name or f"opentr_scratch_{secrets.token_hex(4)}"
    words = [f"TEMPLATE {_quoted(template or 'template0')}", f"OWNER {_quoted(owner)}" if owner else ""]
    try:
        _administer(server, f"CREATE DATABASE {_quoted(name)} {' '.join(words)}")
        yield server.set(database=name)
    finally:
        _administer(server, f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def _quoted(identifier: str) -> str:
    doubled = identifier.replace('"', '""')
    return f'"{doubled}"'


def _administer(server: URL, statement: str) -> None:
    with connect.direct(server, APPLICATION_NAME) as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(statement)


def execute_file(url: URL, path: Path, role: str | None = None) -> None:
    """Runs a file of SQL in one connection, `SET ROLE role` first; what it doesn't put in transactions is one."""
    with connect.direct(url, APPLICATION_NAME) as connection:
        raw: Any = connection.execution_options(isolation_level="AUTOCOMMIT").connection
        with raw.cursor() as cursor:
            if role:
                cursor.execute(f"SET ROLE {_quoted(role)}")
            cursor.execute(path.read_text(encoding="utf-8"))


def prepare(url: URL) -> None:
    """Makes the roles of `database/roles.sql` on that server, and this database belong as it says."""
    execute_file(url, ROLES_SQL)
