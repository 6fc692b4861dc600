"""The state of one environment: a folder, 0700, with its id, its lock, its records, and what services read.

    id key project           what this state is, made once
    lock                     held by the command that works on the environment
    opentr.log *.json        the tool's own log and records
    compose.env              the variables of the Compose file
    secrets/  config/<service>/
                             folders 0755 with files 0444, because services that aren't root read them

Files are written beside their place and renamed, after they have reached the disk: a reader, and we after a crash, find
the old content or the new one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pwd
import secrets
import socket
import stat
import tempfile
import time
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from opentr import process
from opentr.errors.state import LockHeld, StateNotOurs, StateOfAnother, StateOwned, StateUnreadable, StateUnwritable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentr.settings import Settings

_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_FOLDER, _FILE = 0o755, 0o444
_FIRST = frozenset({"project", "id", "key", "lock", "opentr.log"})
"""What a state begins with; a call that was killed may have left some of it, or a hidden file."""
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNFINISHED = ".new-"
"""How the name of a file begins while it is written."""
_HOUR = 3600.0
_CONFIG = "config"
"""The folder that holds one for each service."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock."""

    pid: int
    command: str
    since: datetime
    host: str
    boot: str
    """the id of the machine's start: after another one no process of then is there"""
    started: str | None
    """when the process started, by which a later one with the same id is known"""

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine (or container), as it runs now."""
        return self.host == socket.gethostname()

    @property
    def dead(self) -> bool:
        """Whether it is known to have ended; of a process on another host nothing is known."""
        return self.here and (self.boot != _boot() or process.started(self.pid) != self.started)

    def __str__(self) -> str:
        at = "" if self.here else f" on {self.host}"
        return f"{self.command} (pid {self.pid}{at}, since {self.since.astimezone():%H:%M:%S})"


@dataclass(frozen=True)
class State:
    """The state's folder, opened. Everything here raises StateUnwritable where the folder can't be read or written."""

    folder: Path
    id: str
    """random; labels on containers and volumes carry it"""
    key: str = field(repr=False)
    """random and secret; digests of secrets that others may see are made with it"""
    project: str
    environment: str
    """dev or prod"""

    @contextmanager
    def locked(self, command: str) -> Iterator[None]:
        """Nobody else changes the environment meanwhile; `command` is told to who tries. Raises LockHeld.

        The lock is the open file's (flock): whichever way its holder ends, the kernel lets go of it.
        """
        lock = self._take(command)
        try:
            yield
        finally:
            lock.truncate(0)
            lock.close()

    def holder(self) -> Holder | None:
        """Who works on the environment now; None if nobody does."""
        with guarded(self.folder):
            holder = _holder(self.folder / "lock")
        return None if holder is None or holder.dead else holder

    def _take(self, command: str) -> TextIO:
        place = self.folder / "lock"
        with guarded(place):
            lock = place.open("a", encoding="utf-8")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                raise self._held() from None
            lock.truncate(0)
            try:
                os.write(lock.fileno(), json.dumps(_own(command)).encode())
            except OSError as error:
                if error.errno not in FULL:  # else we hold it without a word, and may be about to make room
                    raise
            _drop_unfinished(self.folder)
        return lock

    def _held(self) -> LockHeld:
        holder = _holder(self.folder / "lock")
        if holder is None:
            return LockHeld(self.project, None, "another ./opentr.sh", None)
        seconds = (datetime.now(UTC) - holder.since).total_seconds()
        where = None if holder.here else holder.host
        return LockHeld(self.project, holder.pid, holder.command, max(0, round(seconds)), where)

    def read(self, name: str) -> dict[str, Any] | None:
        """The record of that name; None if there is none. Raises StateUnreadable for one that isn't ours."""
        file = self._record(name)
        with guarded(file):
            try:
                data = json.loads(file.read_text(encoding="utf-8"))
            except FileNotFoundError:
                return None
            except ValueError as error:
                raise StateUnreadable(file, str(error)) from error
        if not isinstance(data, dict):
            raise StateUnreadable(file, "it holds no object")
        return data

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write the record of that name, in the place of the one before; it is on the disk when this returns."""
        file = self._record(name)
        with guarded(file):
            _replace(file, json.dumps(data, indent=2, sort_keys=True) + "\n", _PRIVATE_FILE)

    def remove(self, name: str) -> None:
        """Remove the record of that name, if there is one; it is gone from the disk when this returns."""
        file = self._record(name)
        with guarded(file):
            file.unlink(missing_ok=True)
            sync_folder(self.folder)

    def install(self, files: Mapping[str, str]) -> None:
        """Write what services read, by path below the folder. Unchanged files aren't touched.

        What else lies in the folder of a service that gets files here is of an earlier release, and is removed.
        """
        with guarded(self.folder):
            for name, text in sorted(files.items()):
                file = self.folder / name
                _make_folders(self.folder, file.parent)
                if not file.is_file() or file.read_text(encoding="utf-8") != text or _mode(file) != _FILE:
                    _replace(file, text, _FILE)
            for folder in {Path(name).parent for name in files if Path(name).parts[0] == _CONFIG}:
                _drop_leftovers(self.folder / folder, {self.folder / name for name in files})

    def create(self, name: str, text: str) -> str:
        """Write this file, as `install` does, unless there is one; return what it holds now.

        Services must be able to read it, whoever wrote it.
        """
        file = self.folder / name
        with guarded(file):
            _make_folders(self.folder, file.parent)
            there = _create(file, text, _FILE)
            if _mode(file) != _FILE:
                file.chmod(_FILE)
        return there

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def opened(settings: Settings) -> State:
    """The state of these settings' environment. If it wasn't there it is made, for its owner alone.

    Raises StateUnwritable, StateOwned if it is another user's, StateNotOurs if other things are in it, and
    StateOfAnother if it was made for another project
    or for the other environment.
    """
    place = folder(settings)
    with guarded(place):
        _check_ours(place)
        _check_made_for(
            settings, _create(place / "project", f"{settings.project} {settings.environment}\n", _PRIVATE_FILE)
        )
        own_id = _create(place / "id", secrets.token_hex(8) + "\n", _PRIVATE_FILE).strip()
        key = _create(place / "key", secrets.token_hex(32) + "\n", _PRIVATE_FILE).strip()
    return State(place, own_id, key, settings.project, settings.environment)


def folder(settings: Settings) -> Path:
    """The state's folder, 0700. If it wasn't there it is made. Raises StateUnwritable, StateOwned."""
    place = settings.state_dir
    with guarded(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        if (owner := place.stat().st_uid) != os.geteuid():
            raise StateOwned(place, _user(owner), _user(os.geteuid()))
        if _mode(place) != _PRIVATE_FOLDER:
            place.chmod(_PRIVATE_FOLDER)
    return place


def record_traceback(settings: Settings, error: BaseException, command: str) -> Path:
    """Append the error's traceback to the log and return the log's path. Raises StateUnwritable, StateOwned."""
    log = folder(settings) / "opentr.log"
    with guarded(log), log.open("a", encoding="utf-8") as out:
        out.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {command}\n")
        out.writelines(traceback.format_exception(error))
    return log


def _check_ours(place: Path) -> None:
    """A folder that somebody filled with other things stays his: what is in the state goes with `purge`."""
    if not (place / "id").exists():
        others = sorted(each.name for each in place.iterdir() if each.name not in _FIRST and each.name[0] != ".")
        if others:
            raise StateNotOurs(place, others[0])


def _check_made_for(settings: Settings, made_for: str) -> None:
    project, _, environment = made_for.strip().partition(" ")
    if (project, environment) != (settings.project, settings.environment):
        asked = f"{settings.project} ({settings.environment})"
        raise StateOfAnother(settings.state_dir, f"{project} ({environment})", asked)


def _holder(lock: Path) -> Holder | None:
    """What stands in the lock; None if nothing does, as between taking it and writing."""
    try:
        about = json.loads(lock.read_text(encoding="utf-8"))
        since = datetime.fromisoformat(about["since"])
        return Holder(about["pid"], about["command"], since, about["host"], about["boot"], about["started"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _own(command: str) -> dict[str, Any]:
    """What stands in the lock while we hold it."""
    pid = os.getpid()
    known = {"pid": pid, "command": command, "since": datetime.now(UTC).isoformat()}
    return known | {"host": socket.gethostname(), "boot": _boot(), "started": process.started(pid)}


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


@contextmanager
def guarded(place: Path) -> Iterator[None]:
    """Raises StateUnwritable for what the system refuses inside of the block; `place` is told where it names none."""
    try:
        yield
    except OSError as error:
        at = Path(error.filename) if isinstance(error.filename, str) else place
        raise StateUnwritable(at, error.strerror or str(error), full=error.errno in FULL) from error


def _make_folders(top: Path, place: Path) -> None:
    """The folders from below `top` down to `place`, each readable by all whatever the umask is."""
    for part in reversed([place, *place.parents]):
        if top in part.parents:
            part.mkdir(exist_ok=True)
            if _mode(part) != _FOLDER:
                part.chmod(_FOLDER)


def _replace(file: Path, text: str, mode: int) -> None:
    new = _unfinished(file, text, mode)
    try:
        new.replace(file)
    except OSError:
        new.unlink()
        raise
    sync_folder(file.parent)


def _create(file: Path, text: str, mode: int) -> str:
    """Write the file whole unless there is one; return what it holds now."""
    if not file.exists():
        new = _unfinished(file, text, mode)
        try:
            os.link(new, file)
        except FileExistsError:
            pass  # another was quicker
        finally:
            new.unlink()
        sync_folder(file.parent)
    return file.read_text(encoding="utf-8")


def _unfinished(file: Path, text: str, mode: int) -> Path:
    """The text on the disk, under another name beside its place."""
    number, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=file.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fchmod(number, mode)
            os.fsync(number)
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)


def sync_folder(place: Path) -> None:
    """Wait until the names in this folder are on the disk."""
    number = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _drop_leftovers(place: Path, wanted: set[Path]) -> None:
    for file in set(place.iterdir()) - wanted:
        file.unlink()


def _drop_unfinished(place: Path) -> None:
    """Remove what a command that was killed was about to write. A young file may be another command's that is alive."""
    for file in place.rglob(f"{_UNFINISHED}*"):
        if time.time() - file.lstat().st_mtime > _HOUR:
            file.unlink(missing_ok=True)


def _mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
