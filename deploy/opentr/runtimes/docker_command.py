"""Which docker command is used: the first on PATH that has Compose 2. An old static client before it doesn't matter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentr import process
from opentr.errors import ProcessFailed, ProcessTimedOut, ProgramMissing
from opentr.errors.engine import BuildxMissing, ComposeMissing, ComposeTooOld

if TYPE_CHECKING:
    from pathlib import Path

    from opentr.state import State

OLDEST = "2.24"
"""The first with profiles named `*` and with `--no-deps` and health checks as we use them."""
RECORD = "docker"
_ANSWER_SECONDS = 20


def compose_command(state: State) -> str:
    """The path of the docker command to use. Raises ComposeMissing, ComposeTooOld.

    The answer is kept in the state until one of the docker commands on PATH changes: asking one takes 60 ms.
    """
    candidates = process.programs("docker")
    seen = [[str(place), place.stat().st_mtime_ns] for place in candidates]
    known = state.read(RECORD)
    if known and known["seen"] == seen:
        return str(known["chosen"])
    chosen = str(_first_fit(candidates))
    state.write(RECORD, {"seen": seen, "chosen": chosen})
    return chosen


def require_buildx(docker: str) -> None:
    """Raises BuildxMissing if the docker command can't build."""
    if _version([docker, "buildx", "version"]) is None:
        raise BuildxMissing(docker)


def _first_fit(candidates: list[Path]) -> Path:
    """The first docker command with a Compose that is new enough. Raises ComposeMissing, ComposeTooOld."""
    too_old: ComposeTooOld | None = None
    for place in candidates:
        found = _version([str(place), "compose", "version", "--short"])
        if found and _number(found) >= _number(OLDEST):
            return place
        if found and too_old is None:
            too_old = ComposeTooOld(place, found, OLDEST)
    raise too_old or ComposeMissing([f"{place} has no `compose`" for place in candidates])


def _version(argv: list[str]) -> str | None:
    try:
        said = process.run(argv, deadline=_ANSWER_SECONDS)
    except (ProcessFailed, ProcessTimedOut, ProgramMissing):
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found.group() if found else None


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
