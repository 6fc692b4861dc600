"""Dumps of the live database that have proven themselves: `backup --logical`, and before a reset takes data away.

A dump counts once it was restored beside without an error, and every table has as many rows as in the snapshot that
was dumped. Beside each stands a receipt.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from opentr import ui
from opentr.errors import ProcessFailed
from opentr.errors.data import DumpFailed, NoRoom
from opentr.server import generations, psql, tables
from opentr.server.generations import LIVE
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime
    from opentr.state import State

PROOF = f"{LIVE}_proof"
"""The database in which a dump proves itself."""
FOLDER = "backups"
SUFFIX = ".dump"
_MARGIN_BYTES = 50_000_000
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Dump:
    """A proven dump; the receipt beside it holds the same."""

    file: str
    bytes: int
    revision: str
    rows: dict[str, int]
    """table -> rows, in the snapshot that was dumped"""
    made_at: str
    generation: str = ""
    """the token of the generation that was dumped, which names its media files"""

    @property
    def id(self) -> str:
        """As one types it: 20261122T221530Z-0010."""
        return Path(self.file).stem


def saved(state: State) -> list[Dump]:
    """The dumps with their receipts that are in the state's folder, oldest first. A dump without one isn't proven."""
    folder = state.folder / FOLDER
    found = [_read(file) for file in sorted(folder.glob(f"*{SUFFIX}"))]
    return [each for each in found if each]


def prove_again(environment: Environment, dump: Dump) -> None:
    """Restore a dump beside the live database, and compare the rows of each table with its receipt.

    Raises DumpFailed, NoRoom, ServiceNotRunning.
    """
    _require_room_beside(environment.runtime, _needed(environment.runtime))
    try:
        with Path(dump.file).open("rb") as file, ui.step(_PROVING):
            _prove(environment.runtime, file, dump.rows)
    except ProcessFailed as failure:
        raise DumpFailed(failure.stderr.strip() or failure.what) from failure


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
        comment = generations.databases(runtime)[LIVE].comment
        with ui.step("dump the database"), _growth_shown(file):
            runtime.stream("postgres", _pg_dump(snapshot), target=file)
    os.fsync(file.fileno())
    with ui.step(_PROVING):
        _prove(runtime, file, rows)
    now = datetime.now(UTC)
    final = folder / f"{now:%Y%m%dT%H%M%SZ}-{revision or 'unstamped'}{SUFFIX}"
    made_at, bytes_ = now.isoformat(timespec="seconds"), file.seek(0, os.SEEK_END)
    dump = Dump(str(final), bytes_, revision, rows, made_at, generations.token_of(comment))
    _keep(unfinished, final, dump)
    return dump


def _read(file: Path) -> Dump | None:
    """The dump as its receipt tells of it; None without one. It may have been moved since, with its receipt."""
    try:
        found = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        return Dump(**(found | {"file": str(file)}))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _growth_shown(file: IO[bytes]) -> Iterator[None]:
    """Show how large the file has become, for as long as the block lasts: pg_dump itself tells nothing."""
    ended = threading.Event()

    def watch(show: Callable[[str], None]) -> None:
        while not ended.wait(_LOOK_SECONDS):
            show(f"{size(os.fstat(file.fileno()).st_size)} written")

    watching = threading.Thread(target=copy_context().run, args=(watch, ui.show), daemon=True)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()


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
    needed = _needed(runtime)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom("the dump", str(folder), size(needed), size(free))
    _require_room_beside(runtime, needed)


def _needed(runtime: Runtime) -> int:
    return tables.size_bytes(runtime, LIVE) + _MARGIN_BYTES


def _require_room_beside(runtime: Runtime, needed: int) -> None:
    free = psql.free_bytes(runtime)
    if free < needed:
        raise NoRoom("the proof of the dump", psql.DATA_FOLDER, size(needed), size(free))


def _private(place: Path, mode: str) -> IO[Any]:
    """A new file that its owner alone may read."""
    return os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), mode)


_PROVING = "prove the dump: restore it beside, compare the rows of each table"
