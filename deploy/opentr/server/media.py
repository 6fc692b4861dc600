"""The media files' folder: `current` is the live generation, `previous` the one before, `next` one to come.

A database that was restored from a file names files that are there: its generation gets all that are in use or were
before, as further names (hard links), which takes no room. So whoever writes a file writes it beside its place and
renames it: one that was overwritten in place would change in several generations.

A folder says in `.generation` which database's files it has, by the token that names that, and in `.holds` which
others' files it has all of. What no database beside names any more goes to `aside`, likewise what couldn't be had twice
under one name, and is removed by `clean prod` alone, once no backup can name it any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from opentr.server import mediascripts

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

Origin = Literal["fresh", "kept", "before"]
"""Where the files of what becomes live come from: there are none; those of the live one, and of the one before it; or
those of the one before alone."""
Placed = Literal["same", "changed", "unknown"]
FOLDER = "/srv/media"
"""Where all of them are in containers, to be told; the services themselves know it by $MEDIA_ROOT."""
UNNAMED = "unnamed"
"""How the names of folders begin that were put aside without a token."""


@dataclass(frozen=True)
class Aside:
    """A folder of files that no database beside names any more."""

    name: str
    files: int
    """that are nowhere else"""
    bytes: int
    """of those"""
    since: datetime
    """when it was put there"""


@dataclass(frozen=True)
class Incoming:
    """The folder that is to become live. Tokens are empty where nobody knows them."""

    token: str
    """names it"""
    origin: Origin
    live: str = ""
    """names the database that was live until then"""
    before: str = ""
    """names the one before that"""
    wanted: str = ""
    """names the one that the rows come from: where two files have one name, its files are the right ones"""

    @property
    def words(self) -> list[str]:
        """As the scripts take them."""
        return [self.token, self.origin, self.live, self.before, self.wanted]


def prepare(runtime: Runtime, incoming: Incoming) -> int:
    """Make the folder that is to become live, and name it.

    Returns how many files it couldn't have, as another one has their name: they stay where they are, or in `aside`.
    Raises ProcessFailed.
    """
    return int(_run(runtime, mediascripts.PREPARE, *incoming.words) or 0)


def swap(runtime: Runtime, incoming: Incoming) -> None:
    """Make that folder the live one, prepared if it isn't, unless it is live already. Raises ProcessFailed."""
    _run(runtime, mediascripts.SWAP, *incoming.words)


def discard(runtime: Runtime) -> None:
    """Remove the folder that a swap has put out of the way, which may take a while. Raises ProcessFailed."""
    _run(runtime, mediascripts.DISCARD)


def aside(runtime: Runtime) -> list[Aside]:
    """What was put aside. Raises ProcessFailed."""
    rows = (line.split() for line in _run(runtime, mediascripts.ASIDE).splitlines())
    return [
        Aside(name, int(files), int(bytes_), datetime.fromtimestamp(int(since), UTC))
        for since, files, bytes_, name in rows
    ]


def forget(runtime: Runtime, folder: Aside) -> None:
    """Remove a folder that was put aside, for good. Raises ProcessFailed."""
    _run(runtime, mediascripts.FORGET, folder.name)


def place(runtime: Runtime, token: str) -> Placed:
    """Make the folder live that has the files of the database that this token names; nothing is removed.

    `unknown`: no folder is known to have them, and all stay where they are. Raises ProcessFailed.
    """
    said = _run(runtime, mediascripts.PLACE, token)
    return "same" if said == "same" else "changed" if said == "changed" else "unknown"


def _run(runtime: Runtime, script: str, *words: str) -> str:
    """Run a script as the app's user, in a service of the app if one runs, which is quicker than a one-off."""
    argv = ["sh", "-c", script, "sh", *words]
    running = {service.service for service in runtime.services() if service.state == "running"}
    service = next((service for service in ("api", "worker") if service in running), None)
    if service:
        return runtime.run_in(service, argv).strip()
    return runtime.run_once("migrate", argv).strip()
