"""After a restore of the cluster: the media files, and Redis, of the generation that is live then.

Since the backup a reset, or a restore of a file, may have put them aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr import ui
from opentr.actions.steps import Step
from opentr.errors import OpentrError
from opentr.server import broker, generations, media

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentr.actions.environment import Environment

UNKNOWN = (
    "no media folder is known to have the files of this database; those in use stay, and none is removed: look at"
    f" {media.FOLDER} (current, previous, aside) if recordings are missing"
)


def step(environment: Environment, tell: Callable[[media.Placed], None]) -> Step:
    """Give the live database its own media files and its own messages, and tell how; may be begun again anywhere."""

    def do() -> None:
        tell(place(environment))

    return Step("give the database its own media files", _HOW, do)


def place(environment: Environment) -> media.Placed:
    """As the step. Raises ServiceNotRunning, ProcessFailed, BrokerRefused."""
    state, runtime = environment.state, environment.runtime
    live = generations.databases(runtime).get(generations.LIVE)
    token = generations.token_of(live.comment) if live else ""
    placed = media.place(runtime, token)
    if token:
        broker.place(state, runtime, token)
    if placed == "changed":
        ui.note("the media files of this database had been put aside since; they are in use again")
    return placed


def taken_back(environment: Environment) -> None:
    """After a restore that was taken back: likewise, where that can be done; it stands in no later command's way."""
    running = {each.service for each in environment.runtime.services() if each.healthy}
    if not {"postgres", "redis"} <= running:
        return
    try:
        if place(environment) == "unknown":
            ui.note(UNKNOWN)
    except OpentrError as error:
        ui.note(f"whether the media files are this database's couldn't be seen: {error.what}; {error.hint}")


_HOW = f"""\
compare the live database's comment with {media.FOLDER}/current/.generation
if another folder has its files: that and current change places; redis: SWAPDB 0 1 likewise"""
