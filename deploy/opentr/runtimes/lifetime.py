"""Whether the tool that made something still runs: told by a label, so that nothing has to be written down before."""

from __future__ import annotations

import os
from pathlib import Path

from opentr.process import started


def own() -> str:
    """Our process, in words that no later process can have: its namespace, id and start time."""
    return f"{_namespace()}.{os.getpid()}.{started(os.getpid())}"


def is_over(process: str) -> bool:
    """Whether the process that called itself so has ended; one of another namespace (a container's) can't be known."""
    namespace, _, rest = process.partition(".")
    pid, _, since = rest.partition(".")
    if not pid.isdecimal():  # read while the process that carries it was ending: the kernel gives a part then
        return False
    return namespace == _namespace() and started(int(pid)) != since


def _namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)
