"""Where a database stands among the migrations of the release in use, as that release's own app sees it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr.actions import database
from opentr.errors import ProcessFailed
from opentr.errors.restore import DatabaseUnreadable
from opentr.server import generations, tables

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime

_STRANGE = frozenset({"RevisionUnknown", "RevisionMissing"})
_NEWER = "DatabaseNewer"


@dataclass(frozen=True)
class Standing:
    """A database's place in the chain."""

    revision: str
    """what it says itself; empty if it says none"""
    strange: bool = False
    """its revision isn't one of ours: it is to be adopted"""
    newer: bool = False
    """its revision is a later release's"""
    oldest_release: str = ""
    """the oldest release that works on it; empty where it doesn't say"""
    pending: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    """what differs from the schema that its revision makes"""

    @property
    def serves(self) -> bool:
        """Whether this release's app can work on it as it is."""
        return not (self.strange or self.pending)

    def next_line(self, environment: str) -> str:
        """What is to be typed before the app can serve; empty if nothing is."""
        migrate = "./opentr.sh migrate prod" if environment == "prod" else "./opentr.sh db migrate"
        if self.strange:
            adopt = "./opentr.sh db adopt prod" if environment == "prod" else "./opentr.sh db adopt"
            says = f"revision {self.revision}" if self.revision else "no revision"
            return f"its database says {says}, which is none of ours; type {adopt}, then {migrate}"
        if self.pending:
            return f"it is at revision {self.revision}, {len(self.pending)} behind this release; type {migrate}"
        return ""


def look(environment: Environment, name: str = generations.LIVE) -> Standing:
    """Ask the release's app about a database of this name. Raises DatabaseUnreadable, ProcessFailed."""
    runtime = environment.runtime
    found = _asked(runtime, name)
    said = tables.revision(runtime, name)
    if found.get("error") in _STRANGE:
        return Standing(said, strange=True)
    if found.get("error") == _NEWER:
        return Standing(said, newer=True, oldest_release=tables.oldest_release(runtime, name))
    if "error" in found:
        raise DatabaseUnreadable(name, found["what"], found["hint"])
    pending, drift = tuple(found["pending"]), tuple(found["drift"])
    return Standing(said, oldest_release=found["oldest_release"] or "", pending=pending, drift=drift)


def _asked(runtime: Runtime, name: str) -> dict[str, Any]:
    """What `db current` says, also where it ends with another code than 0. Raises ProcessFailed if it says nothing."""
    said: list[str] = []
    failure: ProcessFailed | None = None
    argv = ["python", "-m", "app.db.current", "--json"]
    try:
        with runtime.follow_once("migrate", argv, environment=database.addresses(runtime, name)) as lines:
            said.extend(lines)
    except ProcessFailed as error:
        failure = error
    text = "\n".join(said)
    if "{" not in text:
        raise failure or ProcessFailed("app.db.current", 0, text)
    found: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    return found
