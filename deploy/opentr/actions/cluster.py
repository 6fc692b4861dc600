"""Production's cluster in its volume, and the one beside it: restored and not yet live, or replaced and still kept.

The image's program `restore_cluster` does the work, in a container of its own, while Postgres is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from opentr.actions.backup import Fault, followed
from opentr.errors.restore import ClusterFailed

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

LATEST = "latest"
_SERVICE, _PROGRAM = "restore", "restore_cluster"
_TOO_OLD = (
    "the images of the release that serves can't remove a replaced cluster yet; ./opentr.sh deploy prod brings new ones"
)


@dataclass(frozen=True)
class Clusters:
    """The ids of those that there are; empty: there is none."""

    live: str
    restored: str
    """prepared, and never live so far"""
    replaced: str
    """was live before the last restore, or put aside by its --undo"""


@dataclass(frozen=True)
class Kept:
    """A cluster in the volume, for people."""

    id: str
    bytes: int
    """0: it doesn't say"""
    written_until: datetime | None
    """the time of its last checkpoint, which is its very end where Postgres was stopped; None: it doesn't say"""


def look(runtime: Runtime) -> Clusters:
    """What is in the volume, which is made if it has vanished; Postgres must be down. Raises ClusterFailed."""
    return _clusters(_run(runtime, "look"))


def ids(runtime: Runtime) -> Clusters:
    """Likewise, whether Postgres is down or not; one that `look` has never seen has no id. Raises ClusterFailed."""
    return _clusters(_run(runtime, "ids"))


def kept(runtime: Runtime) -> Kept | None:
    """What the last restore has replaced; None if there is nothing. Postgres may run. Raises ClusterFailed."""
    said = followed(runtime, _SERVICE, [_PROGRAM, "tell"])
    if isinstance(said, Fault):
        if not _is_unknown(said):
            raise ClusterFailed(said.words)
        replaced = ids(runtime).replaced
        return Kept(replaced, 0, None) if replaced else None
    if not (found := said["replaced"]):
        return None
    until = found["written_until"]
    return Kept(found["id"], int(found["bytes"]), datetime.fromisoformat(until) if until else None)


def unready(runtime: Runtime, wanted: str) -> Fault | None:
    """Why `prepare` would fail as soon as it begins; None if it wouldn't. Postgres may run, and nothing is changed."""
    said = followed(runtime, _SERVICE, [_PROGRAM, "ready", wanted])
    return said if isinstance(said, Fault) and not _is_unknown(said) else None


def prepare(runtime: Runtime, wanted: str) -> dict[str, Any]:
    """Restore the backup of this label, or all that was archived (`latest`), beside the live cluster, and prove it.

    Returns its id, and what was reached: recovered_to, bytes, seconds by part. Raises ClusterFailed.
    """
    return _run(runtime, "prepare", wanted)


def put(runtime: Runtime, cluster: str) -> Clusters:
    """Make the cluster of this id the live one, and keep what was live as replaced. Raises ClusterFailed."""
    return _clusters(_run(runtime, "put", cluster))


def drop(runtime: Runtime, cluster: str = "") -> Clusters:
    """Remove what was prepared and isn't live, and the cluster of this id if it isn't either. Raises ClusterFailed."""
    return _clusters(_run(runtime, "drop", *([cluster] if cluster else [])))


def free(runtime: Runtime, cluster: str) -> Clusters:
    """Remove the replaced cluster of this id, for good. Postgres may run. Raises ClusterFailed."""
    said = followed(runtime, _SERVICE, [_PROGRAM, "free", cluster])
    if isinstance(said, Fault):
        raise ClusterFailed(_TOO_OLD if _is_unknown(said) else said.words)
    return _clusters(said)


def tidy(runtime: Runtime) -> None:
    """Remove what an earlier restore has replaced, now that a later one has ended well. Raises ClusterFailed."""
    _run(runtime, "tidy")


def _clusters(said: dict[str, Any]) -> Clusters:
    return Clusters(said.get("data") or "", said.get("restored") or "", said.get("replaced") or "")


def _is_unknown(fault: Fault) -> bool:
    """Whether the program is an earlier release's, which hasn't got this verb."""
    return fault.what.startswith(f"{_PROGRAM} ")


def _run(runtime: Runtime, *words: str) -> dict[str, Any]:
    said = followed(runtime, _SERVICE, [_PROGRAM, *words])
    if isinstance(said, Fault):
        raise ClusterFailed(said.words)
    return said
