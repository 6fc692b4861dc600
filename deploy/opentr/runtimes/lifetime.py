"""Whether the tool that made something still runs: told by a label, so that nothing has to be written down before."""

from __future__ import annotations

import os
from pathlib import Path

_STARTED = 19
"""The start time's place among the fields that follow the program's name in /proc/PID/stat (proc(5): field 22)."""


def own() -> str:
    """Our process, in words that no later process can have: its namespace, id and start time."""
    return f"{_namespace()}.{os.getpid()}.{_start_time(os.getpid())}"


def is_over(process: str) -> bool:
    """Whether the process that called itself so has ended; one of another namespace (a container's) can't be known."""
    namespace, _, rest = process.partition(".")
    pid, _, started = rest.partition(".")
    return namespace == _namespace() and _start_time(int(pid)) != started


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _start_time(pid: int) -> str | None:
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return line.rpartition(")")[2].split()[_STARTED]
