"""Production's cluster in its volume, and the one beside it: restored and not yet live, or replaced and still kept.

The image's program `restore_cluster` does the work, in a container of its own, while Postgres is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr.actions.backup import Fault, followed
from opentr.errors.restore import RestoreFailed

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

LATEST = "latest"
_SERVICE, _PROGRAM = "restore", "restore_cluster"


@dataclass(frozen=True)
class Clusters:
    """Which of the three there are."""

    live: bool
    restored: bool
    """prepared, or put away again by `back`"""
    replaced: bool


def look(runtime: Runtime) -> Clusters:
    """What is in the volume, which is made if it has vanished. Raises RestoreFailed."""
    return _clusters(_run(runtime, "look"))


def prepare(runtime: Runtime, wanted: str) -> dict[str, Any]:
    """Restore the backup of this label, or all that was archived (`latest`), beside the live cluster, and prove it.

    Returns what was reached: recovered_to, bytes, seconds by part. Raises RestoreFailed.
    """
    return _run(runtime, "prepare", wanted)


def swap(runtime: Runtime) -> Clusters:
    """Put the restored cluster in the place of the live one, which is kept as replaced. Raises RestoreFailed."""
    return _clusters(_run(runtime, "swap"))


def back(runtime: Runtime) -> Clusters:
    """Put the replaced cluster back, and the live one where the restored one was. Raises RestoreFailed."""
    return _clusters(_run(runtime, "back"))


def drop_restored(runtime: Runtime) -> None:
    """Remove the restored cluster, which isn't live. Raises RestoreFailed."""
    _run(runtime, "drop", "restored")


def _clusters(said: dict[str, Any]) -> Clusters:
    return Clusters(bool(said.get("data")), bool(said.get("restored")), bool(said.get("replaced")))


def _run(runtime: Runtime, *words: str) -> dict[str, Any]:
    said = followed(runtime, _SERVICE, [_PROGRAM, *words])
    if isinstance(said, Fault):
        raise RestoreFailed(said.words)
    return said
