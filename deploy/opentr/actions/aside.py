"""What restores have put aside: the cluster that was replaced, and media files that no database beside names any more.

It may be the only good copy of something. So it goes by itself only where what serves now, and all that could be
restored, is known to do without it; else a person says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from opentr import journal
from opentr.actions import cluster, restore_file
from opentr.actions.environment import DATABASE_VOLUME
from opentr.actions.stake import kept_words
from opentr.actions.steps import Step
from opentr.errors.restore import AsideUnjudged
from opentr.server import backups, media
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.cluster import Kept
    from opentr.actions.environment import Environment
    from opentr.server.backups import Backup
    from opentr.server.media import Aside

_PROVE = "./opentr.sh backup prod; ./opentr.sh backup verify newest"
_ANYWAY = "./opentr.sh clean prod --replaced removes it all the same"
_BESIDE = "the cluster that was replaced may name its files"
_VANISHED = f"the volume of the backups is gone, and those in your copy of it may name its files; {_ANYWAY}"


@dataclass(frozen=True)
class Found:
    """What was put aside, and why it isn't to go."""

    step: Step
    """removes it"""
    needed: str = ""
    """why it stays, and what to type; empty: it may go"""


def found(environment: Environment) -> list[Found]:
    """All that restores have put aside in prod; nothing where nothing is, or where Postgres doesn't serve.

    Raises RepositoryUnreadable, ClusterFailed.
    """
    runtime = environment.runtime
    healthy = {each.service for each in runtime.services() if each.healthy}
    if environment.name != "prod" or DATABASE_VOLUME not in runtime.volumes():
        return []
    kept = cluster.kept(runtime)
    folders = media.aside(runtime) if "postgres" in healthy else []
    if kept is None and not folders:
        return []
    vanished = backups.VOLUME not in runtime.volumes()
    known = [] if vanished else backups.catalogue(runtime)
    cluster_reason = _why_cluster_stays(known, _restored_at(environment), serves="postgres" in healthy)
    result = [Found(_cluster_step(environment, kept), cluster_reason)] if kept else []
    reason = _VANISHED if vanished else _BESIDE if kept and cluster_reason else ""
    return [
        *result,
        *(Found(_media_step(environment, each), reason or _why_media_stay(each, known)) for each in folders),
    ]


def chosen(all_: Sequence[Found], *, anyway: bool, answered: bool) -> list[Step]:
    """The steps that remove what may go; with `anyway` all; none where nobody has answered for it."""
    return [each.step for each in all_ if answered and (anyway or not each.needed)]


def _restored_at(environment: Environment) -> datetime | None:
    """When the last restore from a backup, or its --undo, ended; None where nobody knows."""
    done = (
        each.closed.at
        for each in reversed(journal.operations(environment.state))
        if each.kind == restore_file.KIND and each.begun.data["way"] != restore_file.WAY
        if each.closed and each.closed.data["outcome"] == "done"
    )
    return next(done, None)


def _why_cluster_stays(known: Sequence[Backup], restored_at: datetime | None, *, serves: bool) -> str:
    if not serves:
        return "Postgres doesn't serve, so this may be the only good copy; first: ./opentr.sh start prod"
    if restored_at is None:
        return f"nobody knows any more since when another one serves; {_ANYWAY}"
    if any(each.proven and each.started_at > restored_at for each in known):
        return ""
    return f"no backup of what serves since then is proven; take one: {_PROVE}; or {_ANYWAY}"


def _why_media_stay(folder: Aside, known: Sequence[Backup]) -> str:
    if folder.name.startswith(media.UNNAMED):
        return f"nobody knows which database names its files; {_ANYWAY}"
    if older := [each for each in known if each.started_at <= folder.since]:
        return f"backup {older[-1].id}, which can still be restored, may name its files; {_ANYWAY}"
    return ""


def _cluster_step(environment: Environment, kept: Kept) -> Step:
    what = f"remove what the last restore replaced ({kept_words(kept, datetime.now(UTC))})"

    def remove() -> None:
        if cluster.free(environment.runtime, kept.id).replaced:
            raise AsideUnjudged

    return Step(what, f"restore_cluster free {kept.id}", remove)


def _media_step(environment: Environment, folder: Aside) -> Step:
    what = f"remove media files that were put aside ({folder.files} files, {size(folder.bytes)}, {folder.name})"
    return Step(what, f"rm -r {media.FOLDER}/aside/{folder.name}", partial(media.forget, environment.runtime, folder))
