"""Which runtime an environment runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.containers import Engine
from opentr.errors.embedded import PathUnfit, RuntimeOfAnother
from opentr.errors.engine import EngineMissing
from opentr.errors.services import RuntimeRefused
from opentr.runtimes.compose import Compose
from opentr.runtimes.embedded import Embedded
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime
    from opentr.settings import Settings
    from opentr.state import State

RECORD = "runtime"
"""The state's record of the runtime that keeps the environment's data."""
_MADE = "database"
"""The record that a database was made; without the other one it was made by a release that knew containers alone."""
_OF_SHELLS = '"$`\\\n'
"""initdb and pg_ctl hand paths to a shell in double quotes (PostgreSQL's initdb.c, pg_ctl.c)."""
_KEPT = {"compose": "containers", "embedded": "local processes"}


def choose(settings: Settings, state: State, wanted: str | None = None) -> Runtime:
    """The runtime of this name; by default the one that keeps the data, else containers where an engine answers.

    Raises EngineMissing, EngineTooOld, RuntimeRefused for prod outside of containers, and RuntimeOfAnother where the
    data is kept by another one than is wanted, and PathUnfit.
    """
    if settings.environment == "prod":
        if wanted == "embedded":
            raise RuntimeRefused("embedded", "prod needs what containers give: the pool, proven backups, isolation")
        return _compose(settings, state)
    kept = (state.read(RECORD) or {}).get("name") or ("compose" if state.read(_MADE) else None)
    if wanted and kept and wanted != kept:
        raise _other(settings, kept, wanted)
    match wanted or kept:
        case "compose":
            return _compose(settings, state)
        case "embedded":
            return _embedded(settings, state, "as asked for" if wanted else _why_kept(settings))
    try:
        return _compose(settings, state)
    except EngineMissing as missing:
        return _embedded(settings, state, f"{missing.what}; to have containers: {missing.hint}")


def _compose(settings: Settings, state: State) -> Compose:
    engine = Engine(settings.engine.host)
    version = _short(engine.version())
    return Compose(settings, state, engine, f"Docker {version} at {engine.host.removeprefix('unix://')}")


def _embedded(settings: Settings, state: State, reason: str) -> Embedded:
    for place in (CHECKOUT, state.folder.resolve()):
        for character in _OF_SHELLS:
            if character in str(place):
                raise PathUnfit(place, character)
    return Embedded(settings, state, reason)


def _why_kept(settings: Settings) -> str:
    return f"where its data is; to have containers: ./opentr.sh purge {settings.environment}, then begin anew"


def _other(settings: Settings, kept: str, wanted: str) -> RuntimeOfAnother:
    name = settings.environment
    hint = f"leave --runtime out; or ./opentr.sh purge {name}, then --runtime {wanted}; or set another OPENTR_PROJECT"
    return RuntimeOfAnother(settings.project, _KEPT[kept], _KEPT[wanted], hint)


def _short(version: str) -> str:
    """Without what a distribution adds: 26.1.5+dfsg1 -> 26.1.5."""
    return version.partition("+")[0]
