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
    """The ids of those that there are; empty: there is none."""

    live: str
    restored: str
    """prepared, and never live so far"""
    replaced: str
    """was live before the last restore, or put aside by its --undo"""


def look(runtime: Runtime) -> Clusters:
    """What is in the volume, which is made if it has vanished; Postgres must be down. Raises RestoreFailed."""
    return _clusters(_run(runtime, "look"))


def ids(runtime: Runtime) -> Clusters:
    """Likewise, whether Postgres is down or not; one that `look` has never seen has no id. Raises RestoreFailed."""
    return _clusters(_run(runtime, "ids"))


def prepare(runtime: Runtime, wanted: str) -> dict[str, Any]:
    """Restore the backup of this label, or all that was archived (`latest`), beside the live cluster, and prove it.

    Returns its id, and what was reached: recovered_to, bytes, seconds by part. Raises RestoreFailed.
    """
    return _run(runtime, "prepare", wanted)


def put(runtime: Runtime, cluster: str) -> Clusters:
    """Make the cluster of this id the live one, and keep what was live as replaced. Raises RestoreFailed."""
    return _clusters(_run(runtime, "put", cluster))


def drop(runtime: Runtime, cluster: str = "") -> Clusters:
    """Remove what was prepared and isn't live, and the cluster of this id if it isn't either. Raises RestoreFailed."""
    return _clusters(_run(runtime, "drop", *([cluster] if cluster else [])))


def tidy(runtime: Runtime) -> None:
    """Remove what an earlier restore has replaced, now that a later one has ended well. Raises RestoreFailed."""
    _run(runtime, "tidy")


def _clusters(said: dict[str, Any]) -> Clusters:
    return Clusters(said.get("data") or "", said.get("restored") or "", said.get("replaced") or "")


def _run(runtime: Runtime, *words: str) -> dict[str, Any]:
    said = followed(runtime, _SERVICE, [_PROGRAM, *words])
    if isinstance(said, Fault):
        raise RestoreFailed(said.words)
    return said
