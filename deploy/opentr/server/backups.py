"""What the repository holds, as pgBackRest, the manifests and the receipts tell it; and how the archiving of WAL fares.

    <repository>/manifests/<label>.json    what was in the database at the backup's restore point
    <repository>/receipts/<label>.json     what the newest proof of it found

What is told is read from pgBackRest's structured output: it exits 0 with a damaged repository too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opentr import ui
from opentr.errors import OpentrError, ProcessFailed
from opentr.errors.backup import RepositoryUnreadable
from opentr.server import psql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentr.runtimes.base import Runtime

SERVICE = "backup"
STANZA = "main"
REPOSITORY = "/var/lib/pgbackrest"
"""Where the containers have the volume with the repository."""
VOLUME = "backups"
LAG_SECONDS = 300
"""WAL that waits for longer than this isn't being archived, whether the command fails or hangs."""
_READABLE = {0: "ok", 1: "no stanza yet", 2: "no backups yet", 3: "no stanza yet"}
"""pgBackRest's status codes of a stanza (info's JSON) that aren't faults."""

# One exec: what pgBackRest knows, the room on the volume, then the lines of the small files, each with its name before.
_LOOK = f"""\
pgbackrest --stanza={STANZA} info --output=json
echo
df --output=avail,size --block-size=1 {REPOSITORY} | tail -n 1
cd {REPOSITORY}
for folder in manifests receipts; do
    if [ -d "$folder" ]; then grep --recursive --include=*.json '' "$folder" || [ $? -eq 1 ]; fi
done
"""
_LOOKING = ["bash", "-euo", "pipefail", "-c", _LOOK]
_ARCHIVER = f"""\
SELECT failed_count, last_failed_wal, last_archived_time, last_failed_time,
    coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing, waiting, oldest,
    coalesce(now() - oldest > interval '{LAG_SECONDS} s', false) AS late
FROM pg_stat_archiver, (
    SELECT count(*) AS waiting, min(modification) AS oldest FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'
) AS queue
"""


@dataclass(frozen=True)
class Receipt:
    """What a proof of a backup found: ok, or which objects aren't what was backed up."""

    label: str
    ok: bool
    proven_at: datetime
    """when it was tried"""
    restore_point: str | None = None
    bytes: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    """part (restore, replay, compare, amcheck, checksums) -> how long it took"""
    tables: int = 0
    rows: int = 0
    objects: tuple[str, ...] = ()
    """what was wrong, exactly; none if ok"""

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Receipt:
        """From its JSON. Raises KeyError, ValueError, TypeError for another document."""
        return cls(
            label=str(found["label"]),
            ok=found["ok"] is True,
            proven_at=datetime.fromisoformat(found["proven_at"]),
            restore_point=found.get("restore_point"),
            bytes=int(found.get("bytes") or 0),
            seconds={str(part): float(took) for part, took in (found.get("seconds") or {}).items()},
            tables=int(found.get("tables") or 0),
            rows=int(found.get("rows") or 0),
            objects=tuple(str(each) for each in found.get("objects") or ()),
        )

    def data(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "label": self.label,
            "ok": self.ok,
            "proven_at": self.proven_at.isoformat(timespec="seconds"),
            "restore_point": self.restore_point,
            "bytes": self.bytes,
            "seconds": dict(self.seconds),
            "tables": self.tables,
            "rows": self.rows,
            "objects": list(self.objects),
        }


@dataclass(frozen=True)
class Backup:
    """One backup of the whole cluster."""

    label: str
    """pgBackRest's name; that of an incremental or differential one begins with the full one's"""
    kind: str
    """full, diff or incr"""
    started_at: datetime
    stopped_at: datetime
    bytes: int
    """of the database"""
    repo_bytes: int
    """what it takes in the repository, beyond what the ones before take"""
    error: bool
    """whether pgBackRest met broken pages"""
    version: str = ""
    images: str = ""
    """of the release that ran: its images' ids"""
    revision: str = ""
    reason: str = ""
    """who or what asked for it"""
    prior: str | None = None
    """the backup that it builds on"""
    restore_point: str | None = None
    """None: without a manifest, so that no proof can be made"""
    receipt: Receipt | None = None
    """of its newest proof; None: nobody tried"""
    parts: Mapping[str, float] = field(default_factory=dict)
    """seconds of each part, where it was taken just now: the copy, the manifest, the wait for the archive"""

    @property
    def id(self) -> str:
        """As one types it: the label's own part, 20261122-221530F."""
        return self.label.rpartition("_")[2]

    @property
    def proven(self) -> bool:
        """Whether a restore of it was checked, and was right."""
        return self.receipt is not None and self.receipt.ok

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.stopped_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Repository:
    """All backups, oldest first, and the room on their volume."""

    backups: tuple[Backup, ...]
    free_bytes: int
    disk_bytes: int


@dataclass(frozen=True)
class Archiver:
    """How the archiving of WAL fares."""

    waiting: int
    """so many segments aren't archived yet"""
    failing_since: datetime | None = None
    """when the oldest of them was ready; None: archiving works"""
    last_archived_at: datetime | None = None
    failed_wal: str | None = None


def catalogue(runtime: Runtime) -> list[Backup]:
    """All backups, oldest first. Raises RepositoryUnreadable."""
    return list(look(runtime).backups)


def look(runtime: Runtime) -> Repository:
    """What the repository holds, and its room, asked in one go. Raises RepositoryUnreadable."""
    return _told(lambda: _ask(runtime, _LOOKING))


def look_inside(runtime: Runtime, *, deadline: float) -> Repository:
    """As `look`, asking nobody but the running service, for so many seconds.

    Raises ServiceNotRunning, ProcessTimedOut, RepositoryUnreadable.
    """
    return _told(lambda: runtime.run_in(SERVICE, _LOOKING, deadline=deadline))


def manifest(runtime: Runtime, label: str) -> dict[str, Any] | None:
    """What was in the database at the backup's restore point; None if nobody wrote it down."""
    file = f"{REPOSITORY}/manifests/{label}.json"
    try:
        return dict(json.loads(_ask(runtime, ["cat", file])))
    except (ProcessFailed, ValueError):
        return None


def keep_receipt(runtime: Runtime, receipt: Receipt) -> None:
    """Write down beside the backup what its proof found. Raises ProcessFailed."""
    argv, document = ["keep_receipt", receipt.label], json.dumps(receipt.data())
    if is_running(runtime):
        runtime.run_in(SERVICE, argv, stdin=document)
    else:
        runtime.run_once(SERVICE, argv, stdin=document)


def hold_schedule(runtime: Runtime, seconds: int) -> None:
    """Have the schedule take nothing for so long (an hour at most), or with 0 go on; if it runs at all.

    A failure is told and harms nobody: the hold ends by itself, and without one a migration may have to wait.
    """
    if not any(each.service == SERVICE and each.state == "running" for each in runtime.services()):
        return
    try:
        runtime.run_in(SERVICE, ["hold_schedule", str(seconds)])
    except OpentrError as error:
        ui.note(f"the schedule of the backups can't be held: {error.what}")


def archiver(runtime: Runtime, *, deadline: float | None = None) -> Archiver:
    """How archiving fares, as Postgres sees it. Raises ServiceNotRunning, ProcessFailed, ProcessTimedOut."""
    words = psql.argv(psql.MAINTENANCE, "--tuples-only", "--no-align", "-f", "-")
    asked = f"SELECT to_json(found) FROM ({_ARCHIVER}) AS found"
    found = json.loads(runtime.run_in("postgres", words, stdin=asked, deadline=deadline))
    ill = found["failing"] or found["late"]
    return Archiver(
        waiting=int(found["waiting"]),
        failing_since=_time(found["oldest"] or found["last_failed_time"]) if ill else None,
        last_archived_at=_time(found["last_archived_time"]),
        failed_wal=found["last_failed_wal"] if found["failing"] else None,
    )


def read_info(told: str, documents: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[Backup]:
    """The backups of `pgbackrest info --output=json`, with manifests and receipts by ("manifests", label).

    Raises RepositoryUnreadable if it is told of a fault, or isn't what we asked for.
    """
    try:
        stanzas = [each for each in json.loads(told) if each["name"] == STANZA]
        for stanza in stanzas:
            _refuse_fault(stanza)
        found = [_backup(each, documents) for stanza in stanzas for each in stanza["backup"]]
    except (ValueError, KeyError, TypeError) as error:
        raise RepositoryUnreadable(f"pgbackrest info told something else than expected: {error!r}") from error
    return sorted(found, key=lambda each: each.started_at)


def is_running(runtime: Runtime) -> bool:
    """Whether the service runs, so that it can be asked without a container of its own."""
    return any(each.service == SERVICE and each.state == "running" for each in runtime.services())


def _ask(runtime: Runtime, argv: Sequence[str]) -> str:
    return runtime.run_in(SERVICE, argv) if is_running(runtime) else runtime.run_once(SERVICE, argv)


def _told(ask: Callable[[], str]) -> Repository:
    try:
        told, _, rest = ask().partition("\n")
    except ProcessFailed as failure:
        raise RepositoryUnreadable(_last_line(failure.stderr) or failure.what) from failure
    room, _, files = rest.lstrip("\n").partition("\n")
    free, whole = (int(part) for part in room.split())
    return Repository(tuple(read_info(told, _documents(files.splitlines()))), free, whole)


def _refuse_fault(stanza: Mapping[str, Any]) -> None:
    for status in (stanza["status"], *(repository["status"] for repository in stanza.get("repo", ()))):
        if status["code"] not in _READABLE:
            raise RepositoryUnreadable(" ".join(str(status["message"]).split()))


def _backup(found: Mapping[str, Any], documents: Mapping[tuple[str, str], Mapping[str, Any]]) -> Backup:
    label, notes = found["label"], found.get("annotation") or {}
    return Backup(
        label=label,
        kind=found["type"],
        started_at=datetime.fromtimestamp(found["timestamp"]["start"], UTC),
        stopped_at=datetime.fromtimestamp(found["timestamp"]["stop"], UTC),
        bytes=found["info"]["size"],
        repo_bytes=found["info"]["repository"].get("delta") or found["info"]["repository"].get("size") or 0,
        error=bool(found.get("error")),
        version=notes.get("version", ""),
        images=notes.get("images", ""),
        revision=notes.get("revision", ""),
        reason=notes.get("reason", ""),
        prior=found.get("prior"),
        restore_point=documents.get(("manifests", label), {}).get("restore_point"),
        receipt=_receipt(documents.get(("receipts", label))),
    )


def _receipt(document: Mapping[str, Any] | None) -> Receipt | None:
    """One that can't be read is as good as none."""
    try:
        return Receipt.read(document) if document else None
    except (KeyError, ValueError, TypeError):
        return None


def _documents(lines: Iterable[str]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The JSON files that grep told line by line, `receipts/LABEL.json:...`; what isn't JSON is left out."""
    texts: dict[tuple[str, str], str] = {}
    for line in lines:
        path, _, text = line.partition(".json:")
        folder, _, label = path.partition("/")
        texts[folder, label] = texts.get((folder, label), "") + text
    found = {key: _parsed(text) for key, text in texts.items()}
    return {key: document for key, document in found.items() if isinstance(document, dict)}


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "").strip()
