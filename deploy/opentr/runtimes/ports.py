"""A port that is taken: which one the engine means, and who listens there."""

from __future__ import annotations

import re
from pathlib import Path

_TAKEN = re.compile(
    r"Bind for \S*:(?P<allocated>\d+) failed: port is already allocated"
    r"|listen \w+ \S*:(?P<listening>\d+): bind: address already in use"
    r"|failed to bind host port (?:for )?\S*?:(?P<bound>\d+)[:/ ]"
)
_LISTENING = "0A"


def taken(message: str) -> int | None:
    """The port that the engine couldn't bind, from its error message; None if the message is about something else."""
    found = _TAKEN.search(message)
    return int(found[str(found.lastgroup)]) if found else None


def holder(port: int) -> str | None:
    """The program of ours or, for root, of anybody that listens at this TCP port: name (pid 123); None if unknown."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    processes = Path("/proc").glob("[0-9]*") if sockets else ()
    found = next((each for each in processes if _has_open(each, sockets)), None)
    return f"{(found / 'comm').read_text(encoding='utf-8').strip()} (pid {found.name})" if found else None


def _has_open(process: Path, sockets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in (process / "fd").iterdir())
    except OSError:  # another user's, or it has just ended
        return False


def _listening(port: int) -> list[str]:
    """The inodes of the sockets that listen at the port (proc(5), /proc/net/tcp: address in hex, state, ..., inode)."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]
