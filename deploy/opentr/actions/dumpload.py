"""A dump is loaded into a database of its own, beside the live one."""

from __future__ import annotations

import os
import re
import tempfile
import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import IO, TYPE_CHECKING

from opentr.actions import database, dumpfile, dumptext
from opentr.errors import OpentrError, ProcessFailed
from opentr.errors.data import NoRoom
from opentr.errors.restore import DumpRefused, DumpUnusable
from opentr.server import generations, psql
from opentr.server.generations import NEXT
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from opentr.actions.dumpfile import DumpFile
    from opentr.actions.environment import Environment

_MARGIN_BYTES = 100_000_000
_ERROR = re.compile(r"^psql:<stdin>:(\d+): (?:ERROR|FATAL|error):\s+(.*)", re.MULTILINE)
_RESTORE_ERROR = re.compile(r"(?:^|: )(?:ERROR|error):\s+(.*)", re.MULTILINE)
_OWNER = dumptext.OWNER
_SWAPPER = generations.SWAPPER
# What the dump makes is made as app_owner, after its default privileges are there. What roles.sql makes beside these
# would be in the way of the dump's own, and is made again afterwards.
_WITHOUT_ROLES_OWN = "DROP SCHEMA IF EXISTS pgbouncer, amcheck CASCADE;"


def load(environment: Environment, dump: DumpFile) -> None:
    """Load it into the next generation's database. Raises NoRoom, DumpRefused, DumpUnusable; then there is none."""
    runtime = environment.runtime
    _require_room(environment, dump)
    generations.begin(environment.state, runtime, NEXT, keeps_media=True, of=dump.generation)
    with generations.guarded(environment.state, runtime):
        _fill(environment, dump)


def _fill(environment: Environment, dump: DumpFile) -> None:
    runtime = environment.runtime
    roles = database.roles(environment)
    bare = database.bare_sql(environment, NEXT)
    psql.execute(runtime, f"{bare}\n{_WITHOUT_ROLES_OWN}", psql.MAINTENANCE, application=_SWAPPER)
    try:
        as_it_was = _stream(environment, dump)
    except ProcessFailed as failure:
        psql.refuse_full(failure)
        raise _refused(dump, failure) from failure
    except dumptext.Unusable as fault:
        raise DumpUnusable(dump.path, fault.reason, fault.hint) from fault
    drop = "" if as_it_was else _WITHOUT_ROLES_OWN
    psql.execute(runtime, f"{drop}\n{roles}\nANALYZE;", NEXT, application=_SWAPPER)


def _stream(environment: Environment, dump: DumpFile) -> bool:
    """Load it; whether with the owners and grants that it has."""
    as_it_was = dump.form == "custom" and _is_ours(environment, dump)
    argv = _psql() if dump.form == "plain" else _pg_restore(as_it_was=as_it_was)
    with _source(dump) as source:
        environment.runtime.stream("postgres", argv, source=source)
    return as_it_was


def _is_ours(environment: Environment, dump: DumpFile) -> bool:
    """Whether it is of a database that roles.sql was run in: then its owners are roles of ours."""
    with tempfile.TemporaryFile() as contents:
        with _source(dump) as source:
            environment.runtime.stream("postgres", ["pg_restore", "--list"], source=source, target=contents)
        contents.seek(0)
        return any(b" SCHEMA - pgbouncer " in line for line in contents)


def _psql() -> list[str]:
    r"""One transaction, as app_owner; no line of the dump is an order to psql itself, which \restrict sees to."""
    first = [f"SET ROLE {_OWNER}", f"\\restrict {os.urandom(16).hex()}"]
    options = [word for command in first for word in ("-c", command)]
    return psql.argv(NEXT, "--single-transaction", "-o", "/dev/null", *options, "-f", "-", application=_SWAPPER)


def _pg_restore(*, as_it_was: bool) -> list[str]:
    words = f"dbname={NEXT} user=postgres application_name={_SWAPPER}"
    whose = [] if as_it_was else ["--no-owner", "--no-privileges", f"--role={_OWNER}"]
    return ["pg_restore", "--exit-on-error", "--single-transaction", *whose, f"--dbname={words}"]


def _source(dump: DumpFile) -> AbstractContextManager[IO[bytes]]:
    """The dump as its program reads it; as it is where nothing has to be done to it."""
    as_it_is = dump.form == "custom" and not dump.compressed
    return dump.path.open("rb") if as_it_is else _piped(dumpfile.pieces(dump))


@contextmanager
def _piped(pieces: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A file that gives these pieces, written by a thread. Raises what making them raises, after the block."""
    reading, writing = os.pipe()
    faults: list[Exception] = []

    def write() -> None:
        try:
            with os.fdopen(writing, "wb") as out:
                for piece in pieces:
                    out.write(piece)
        except BrokenPipeError:
            pass  # who reads it has ended, and says why
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            faults.append(error)

    thread = threading.Thread(target=copy_context().run, args=(write,))
    thread.start()
    try:
        with os.fdopen(reading, "rb") as source:
            yield source
    except OpentrError as error:
        thread.join()
        if faults:  # it is why the block has failed
            raise faults[0] from error
        raise
    finally:
        thread.join()
    if faults:
        raise faults[0]


def _refused(dump: DumpFile, failure: ProcessFailed) -> DumpRefused:
    if found := _ERROR.search(failure.stderr):
        return DumpRefused(dump.path, int(found[1]), found[2])
    found = _RESTORE_ERROR.search(failure.stderr)
    return DumpRefused(dump.path, None, found[1] if found else failure.stderr.strip() or failure.what)


def _require_room(environment: Environment, dump: DumpFile) -> None:
    needed = dump.needs_bytes + _MARGIN_BYTES
    free = psql.free_bytes(environment.runtime)
    if free < needed:
        raise NoRoom(f"restoring {dump.path.name}", psql.DATA_FOLDER, size(needed), size(free))
