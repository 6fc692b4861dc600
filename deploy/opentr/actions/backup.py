"""Backups of production: taken, listed, proven by a restore.

The work is done by the programs of the postgres image, in containers of their own: `take_backup` beside the live
server, `prove_backup` where nothing of ours can be reached. Here it is decided what is done, and what its end means.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import credentials, ui
from opentr.actions import database
from opentr.actions.steps import Step
from opentr.actions.steps import run as run_steps
from opentr.errors import ProcessFailed
from opentr.errors.backup import (
    BackupAmbiguous,
    BackupDamaged,
    BackupFailed,
    BackupUnknown,
    BackupUnproven,
    NoBackups,
    ProofUnfinished,
    RepositoryLocked,
    RepositoryVanished,
)
from opentr.errors.data import NoRoom
from opentr.errors.services import NothingRunning, ServiceNotRunning
from opentr.server import backups, psql
from opentr.server.backups import Backup, Receipt
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime

NEWEST = "newest"
FULL = "full"
KINDS = (FULL, "diff", "incr")
TITLES = {"full": "full", "diff": "differential", "incr": "incremental"}
BY_HAND = "by hand"
_MARGIN_BYTES = 50_000_000
_SPARE = 1.2
"""A backup may become larger than the one before by this factor."""
_CHANGING = 0.1
"""The part of the database that an incremental backup is expected to hold where none was taken before."""
_TAIL = 6
_CLUSTER_BYTES = "SELECT sum(pg_database_size(oid)) FROM pg_database"
ROOM, _PAGES, _LOCKED = "room", "pages", "locked"
_KNOWN = (ROOM, _PAGES, _LOCKED)
"""What the programs call a full disk, broken pages of the live database, and a backup that goes on; all else they tell
in words."""
_MAKE_ROOM = "make room there (docker system df -v shows what takes it), then try again"
_LOOK_AT_IT = "look at the repository: ./opentr.sh backup list prod; and at the log: ./opentr.sh logs prod backup"


@dataclass(frozen=True)
class Fault:
    """How a program of the image failed, in its own words."""

    what: str
    """what happened, or the one word by which we decide: room, pages, locked; empty: it ended without a word for us"""
    objects: tuple[str, ...]
    """to which files, tables, indexes it happened"""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is to be told: the objects, unless the words name them all."""
        named = all(each.removeprefix("file ") in self.what for each in self.objects)
        return (self.what,) if self.what and named else self.objects

    @property
    def words(self) -> str:
        """All of it in one line."""
        told = "; ".join(self.objects)
        if self.what in _KNOWN or not self.what:
            return told or self.what or "it ended without saying why"
        return self.what if self.lines == (self.what,) else f"{self.what}: {told}"


def steps(environment: Environment, kind: str | None, reason: str = BY_HAND) -> list[Step]:
    """Take a backup: of this kind, or incremental where there is one to build on.

    Raises NothingRunning, ServiceNotRunning, RepositoryVanished, RepositoryUnreadable, PassphraseLost; NoRoom, which
    nothing skips.
    """
    return _steps(environment, kind, reason, [])


def take(environment: Environment, kind: str | None, reason: str) -> Backup:
    """Take a backup, wait until all WAL that it needs is archived, and return it as the repository tells of it.

    Raises as `steps`; RepositoryLocked, BackupFailed, and BackupDamaged if the live data files have broken pages.
    """
    results: list[Mapping[str, Any]] = []
    run_steps(_steps(environment, kind, reason, results))
    label = str(results[0]["label"])
    taken = {each.label: each for each in backups.catalogue(environment.runtime)}.get(label)
    if taken is None:
        raise BackupFailed(f"{label} was taken, and the repository doesn't list it", _LOOK_AT_IT)
    if taken.error:
        raise BackupDamaged([])
    return replace(taken, parts={str(part): float(took) for part, took in results[0]["seconds"].items()})


def prove(environment: Environment, label: str) -> Receipt:
    """Restore the backup where nothing can reach or be reached, compare, check every page; return the receipt.

    The receipt is kept beside the backup, also that of a proof that failed. Raises BackupUnproven, BackupUnknown,
    PassphraseLost, and ProofUnfinished if it couldn't be tried, for want of room for instance.
    """
    require_passphrase(environment)
    backup = find(catalogue(environment), label, environment.name)
    if backup.restore_point is None:
        raise BackupUnproven(backup.label, [_NO_MANIFEST])
    runtime = environment.runtime
    began = datetime.now(UTC)
    with ui.step(f"prove backup {backup.id} by a restore"):
        said = followed(runtime, "proof", ["prove_backup", backup.label])
        receipt = _failed_proof(environment, backup, said, began) if isinstance(said, Fault) else _receipt(backup, said)
        backups.keep_receipt(runtime, receipt)
    if not receipt.ok:
        raise BackupUnproven(backup.label, receipt.objects)
    return receipt


def newest(environment: Environment) -> Backup:
    """The newest backup. Raises NoBackups."""
    found = catalogue(environment)
    if not found:
        raise NoBackups(environment.name)
    return found[-1]


def newest_proven(found: Sequence[Backup]) -> Backup | None:
    """The newest backup of which a restore was right."""
    return next((each for each in reversed(found) if each.proven), None)


def catalogue(environment: Environment) -> list[Backup]:
    """All backups, oldest first. Raises NothingRunning, RepositoryVanished, RepositoryUnreadable."""
    require_repository(environment)
    return backups.catalogue(environment.runtime)


def find(found: Sequence[Backup], wanted: str, environment: str) -> Backup:
    """The backup of this ID or label, of which the beginning is enough; or the newest that can be restored.

    The newest of all where none can. Raises NoBackups, BackupUnknown, BackupAmbiguous.
    """
    if not found:
        raise NoBackups(environment)
    if wanted == NEWEST:
        return next((each for each in reversed(found) if not unfit(each)), found[-1])
    if exact := [each for each in found if wanted in (each.id, each.label)]:
        return exact[0]
    matches = [each for each in found if wanted and each.id.startswith(wanted)]
    matches = matches or [each for each in found if wanted and each.label.startswith(wanted)]
    ids = [each.id for each in reversed(matches or found)]
    if not matches:
        nearest = get_close_matches(wanted, ids, n=1)
        raise BackupUnknown(wanted, nearest[0] if nearest else None, ids, environment)
    if len(matches) > 1:
        raise BackupAmbiguous(wanted, ids)
    return matches[0]


def unfit(backup: Backup) -> str:
    """Why a restore shouldn't take this backup, though it is in the repository; empty if it may."""
    if backup.restore_point is None:
        return "it has no manifest"
    if backup.error:
        return "it has broken pages"
    return "its proof failed" if backup.receipt and not backup.receipt.ok else ""


def passed_over(found: Sequence[Backup], chosen: Backup) -> list[str]:
    """Which backups are newer than the one that was found as the newest, and why they weren't taken, newest first."""
    newer = reversed(found[found.index(chosen) + 1 :])
    return [f"backup {each.id} is passed over: {unfit(each)}" for each in newer]


def require_repository(environment: Environment) -> None:
    """Raises NothingRunning where there never was a database, RepositoryVanished where the backups' volume is gone."""
    if backups.VOLUME in environment.runtime.volumes():
        return  # whether the state still knows of a database or not
    if environment.state.read(database.RECORD) is None:
        raise NothingRunning(environment.settings.project, environment.name)
    raise RepositoryVanished(environment.settings.project)


def require_passphrase(environment: Environment) -> None:
    """Have the file there that the programs read it from. Raises PassphraseLost, PassphraseChanged."""
    known = credentials.ensure(environment.state)
    environment.state.install({f"secrets/{credentials.CIPHER}": credentials.cipher(known)})


def _steps(environment: Environment, kind: str | None, reason: str, results: list[Mapping[str, Any]]) -> list[Step]:
    require_repository(environment)
    require_passphrase(environment)
    _require_running(environment)
    runtime = environment.runtime
    repository = backups.look(runtime)
    wanted = kind or "incr"
    alone = wanted != FULL and not any(each.kind == FULL for each in repository.backups)
    if alone:
        wanted = FULL
    _require_room(runtime, repository, wanted)
    what = f"take a{'n' if wanted == 'incr' else ''} {TITLES[wanted]} backup"
    what += " (there is none to build on)" if alone else ""
    how = _HOW.format(kind=wanted, reason=reason)
    return [Step(what, how, partial(_take, runtime, wanted, reason, results))]


def _take(runtime: Runtime, kind: str, reason: str, results: list[Mapping[str, Any]]) -> None:
    said = followed(runtime, backups.SERVICE, ["take_backup", kind, reason])
    if isinstance(said, Fault):
        if said.what == _PAGES:
            raise BackupDamaged(said.objects)
        if said.what == _LOCKED:
            raise RepositoryLocked(said.words)
        raise BackupFailed(said.words, _MAKE_ROOM if said.what == ROOM else _LOOK_AT_IT)
    results.append(said)


def _require_running(environment: Environment) -> None:
    if not any(each.service == "postgres" and each.state == "running" for each in environment.runtime.services()):
        raise ServiceNotRunning("postgres", environment.name)


def _require_room(runtime: Runtime, repository: backups.Repository, kind: str) -> None:
    """Raises NoRoom. A repository that fills the disk would stop Postgres, if both lie on the same."""
    live = int(psql.script(runtime, _CLUSTER_BYTES, psql.MAINTENANCE))
    needed = expected_bytes(repository.backups, kind, live) + _MARGIN_BYTES
    if repository.free_bytes < needed:
        where = f"the volume of the backups ({backups.REPOSITORY})"
        raise NoRoom(
            f"a{'n' if kind == 'incr' else ''} {TITLES[kind]} backup", where, size(needed), size(repository.free_bytes)
        )


def expected_bytes(found: Sequence[Backup], kind: str, live_bytes: int) -> int:
    """What a backup of this kind may take in the repository, by what the ones before took, at most a full one's."""
    full = [each for each in found if each.kind == FULL and each.bytes]
    whole = live_bytes * (full[-1].repo_bytes / full[-1].bytes if full else 1.0) * _SPARE
    if kind == FULL:
        return round(whole)
    parts = [each.repo_bytes * 2 for each in found if each.kind == kind]
    return round(min(whole, max(parts[-_TAIL:], default=live_bytes * _CHANGING)))


def followed(runtime: Runtime, service: str, argv: Sequence[str]) -> dict[str, Any] | Fault:
    """Run a program of the image in a container of its own, show its progress, return its result or how it failed."""
    last: dict[str, Any] = {}
    told: deque[str] = deque(maxlen=_TAIL)
    try:
        with runtime.follow_once(service, argv) as lines:
            for line in lines:
                if line.startswith(_PROGRESS):
                    ui.show(line.removeprefix(_PROGRESS))
                elif document := _document(line):
                    last = document
                elif line.strip():
                    told.append(line.strip())
    except ProcessFailed:
        return _fault(last, told)
    return last or Fault("it ended without its result", ())


def _fault(last: Mapping[str, Any], told: Sequence[str]) -> Fault:
    if "fault" in last:
        objects = last.get("objects") or ([last["object"]] if last.get("object") else [])
        return Fault(str(last["fault"]), tuple(str(each) for each in objects))
    complaints = [line for line in told if "error" in line.lower() or "fatal" in line.lower()]
    return Fault("", tuple((complaints or list(told))[-1:]))


def _document(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _receipt(backup: Backup, said: Mapping[str, Any]) -> Receipt:
    try:
        return Receipt.read({"label": backup.label, **said})
    except (KeyError, ValueError, TypeError) as error:
        raise ProofUnfinished(backup.label, f"its receipt can't be read: {error!r}", "try again") from error


def _failed_proof(environment: Environment, backup: Backup, fault: Fault, began: datetime) -> Receipt:
    """The receipt of a proof that failed. Raises ProofUnfinished if the fault tells nothing about the backup."""
    if backup.label not in {each.label for each in catalogue(environment)}:
        raise ProofUnfinished(backup.label, "it was expired meanwhile", "try the newest: ./opentr.sh backup verify")
    if fault.what in ("", ROOM):
        hint = _MAKE_ROOM if fault.what else f"try again: ./opentr.sh backup verify {backup.id}"
        raise ProofUnfinished(backup.label, fault.words, hint)
    took = (datetime.now(UTC) - began).total_seconds()
    return Receipt(
        label=backup.label,
        ok=False,
        proven_at=datetime.now(UTC),
        restore_point=backup.restore_point,
        seconds={"until it failed": round(took, 1)},
        objects=fault.lines,
    )


_PROGRESS = "progress: "
_NO_MANIFEST = "it has no manifest, since taking it was cut short: what it should hold isn't known"
_HOW = """\
look whether there is room on the volume of the backups
docker compose run --rm backup take_backup {kind} '{reason}'
  pgbackrest --stanza=main --type={kind} backup
  count each table in the snapshot of a restore point; wait until its WAL is archived
  pgbackrest --stanza=main expire, if a proven backup stays"""
