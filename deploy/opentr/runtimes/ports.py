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
    for link in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if str(link.readlink()) in sockets:
                process = link.parents[1]
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (pid {process.name})"
        except OSError:  # another user's, or it has just ended
            continue
    return None


def _listening(port: int) -> list[str]:
    """The inodes of the sockets that listen at the port (proc(5), /proc/net/tcp: address in hex, state, ..., inode)."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [row[9] for row in rows if row[3] == _LISTENING and int(row[1].rpartition(":")[2], 16) == port]
