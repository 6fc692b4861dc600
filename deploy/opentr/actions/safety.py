"""A dump of the live database that has proven itself, before it is taken away.

It counts once it was restored beside without an error, and every table has as many rows as in the snapshot that was
dumped.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from opentr import ui
from opentr.actions.sizes import size
from opentr.errors import DumpFailed, NoRoom, ProcessFailed
from opentr.server import psql, tables
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime

PROOF = f"{LIVE}_proof"
"""The database in which a dump proves itself."""
FOLDER = "backups"
_MARGIN_BYTES = 50_000_000


@dataclass(frozen=True)
class Dump:
    """A proven dump; the receipt beside it holds the same."""

    file: str
    bytes: int
    revision: str
    rows: dict[str, int]
    """table -> rows, in the snapshot that was dumped"""
    made_at: str


def save(environment: Environment) -> Dump:
    """Dump the live database into the state's folder of backups, and prove the dump.

    Raises NoRoom before anything is done, DumpFailed with no file left.
    """
    folder = environment.state.folder / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _require_room(environment.runtime, folder)
    unfinished = folder / ".unfinished.dump"
    try:
        with _private(unfinished, "w+b") as file:
            return _proven(environment, folder, unfinished, file)
    except ProcessFailed as failure:
        raise DumpFailed(failure.stderr.strip() or failure.what) from failure
    finally:
        unfinished.unlink(missing_ok=True)


def _proven(environment: Environment, folder: Path, unfinished: Path, file: IO[bytes]) -> Dump:
    runtime = environment.runtime
    with _snapshot(runtime) as snapshot:
        rows = tables.rows(runtime, LIVE, snapshot)
        revision = tables.revision(runtime, LIVE)
        with ui.step("dump the database"):
            runtime.stream("postgres", _pg_dump(snapshot), target=file)
    os.fsync(file.fileno())
    with ui.step("prove the dump: restore it beside, compare the rows of each table"):
        _prove(runtime, file, rows)
    now = datetime.now(UTC)
    final = folder / f"{now:%Y%m%dT%H%M%SZ}-{revision or 'unstamped'}.dump"
    dump = Dump(str(final), file.seek(0, os.SEEK_END), revision, rows, now.isoformat(timespec="seconds"))
    _keep(unfinished, final, dump)
    return dump


def _keep(unfinished: Path, final: Path, dump: Dump) -> None:
    """Give the dump its name, with its receipt beside it; both are on the disk afterwards."""
    with _private(final.with_suffix(".json"), "w") as receipt:
        json.dump(asdict(dump), receipt, indent=2)
        receipt.flush()
        os.fsync(receipt.fileno())
    unfinished.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _prove(runtime: Runtime, file: IO[bytes], rows: dict[str, int]) -> None:
    drop = f"DROP DATABASE IF EXISTS {PROOF} WITH (FORCE);"
    psql.execute(runtime, f"{drop}\nCREATE DATABASE {PROOF} TEMPLATE template0;", psql.MAINTENANCE)
    try:
        file.seek(0)
        runtime.stream("postgres", _pg_restore(), source=file)
        restored = tables.rows(runtime, PROOF)
    finally:
        psql.execute(runtime, drop, psql.MAINTENANCE)
    if restored != rows:
        wrong = sorted(name for name in rows.keys() | restored.keys() if rows.get(name) != restored.get(name))
        told = ", ".join(f"{name}: {rows.get(name)} rows dumped, {restored.get(name)} restored" for name in wrong)
        raise DumpFailed(f"restored it differs: {told}")


@contextmanager
def _snapshot(runtime: Runtime) -> Iterator[str]:
    """A snapshot of the live database that others can look at, for as long as the block lasts."""
    sql = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT pg_export_snapshot()")
    options = ["--tuples-only", "--no-align", "-c", sql[0], "-c", sql[1], "-f", "-"]
    with runtime.held("postgres", psql.argv(LIVE, *options)) as snapshot:
        yield snapshot


def _pg_dump(snapshot: str) -> list[str]:
    words = f"dbname={LIVE} user=postgres application_name={psql.APPLICATION}"
    return ["pg_dump", "--format=custom", f"--snapshot={snapshot}", f"--dbname={words}"]


def _pg_restore() -> list[str]:
    words = f"dbname={PROOF} user=postgres application_name={psql.APPLICATION}"
    return ["pg_restore", "--exit-on-error", f"--dbname={words}"]


def _require_room(runtime: Runtime, folder: Path) -> None:
    """A dump takes less than the database does; its restore, and the next generation, take as much. Raises NoRoom."""
    needed = tables.size_bytes(runtime, LIVE) + _MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom("the dump", str(folder), size(needed), size(free))
    said = runtime.run_in("postgres", ["df", "--output=avail", "--block-size=1", psql.VOLUME])
    free = int(said.split()[-1])
    if free < needed:
        raise NoRoom("the proof of the dump", f"the volume of Postgres ({psql.VOLUME})", size(needed), size(free))


def _private(place: Path, mode: str) -> IO[Any]:
    """A new file that its owner alone may read."""
    return os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), mode)
