"""Versions: of this tool, of the release that prod runs, of what is running, of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentr import settings, state
from opentr.actions import releases, status
from opentr.actions.environment import Environment
from opentr.errors import OpentrError
from opentr.runtimes.choose import choose

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERSION = settings.CHECKOUT / "VERSION"
_ENVIRONMENTS = ("dev", "prod")


def data() -> dict[str, Any]:
    """The tool's version, the newest revision of its migrations, and each environment that has a state here."""
    version = _VERSION.read_text(encoding="utf-8").strip()
    return {"version": version, "head": status.head()} | {name: _environment(name) for name in _ENVIRONMENTS}


def lines() -> list[str]:
    """The same as lines; the first is the tool's version alone."""
    found = data()
    return [found["version"], *(f"{name:4}  {_words(found[name])}" for name in _ENVIRONMENTS if found[name])]


def _environment(name: str) -> dict[str, Any] | None:
    """What is known of one, or why nothing is; None where nothing was ever started."""
    chosen = settings.read(name)
    if not (chosen.state_dir / "id").exists():
        return None
    try:
        place = state.opened(chosen)
        found = status.look(Environment(chosen, place, choose(chosen, place)))
    except OpentrError as error:
        return {"fault": error.what}
    running = sorted({each.version for each in found.services if each.version and each.state == "running"})
    revision = found.database.revision if found.database else None
    release = (place.read(releases.RECORD) or {}).get("version")
    return {"release": release, "running": running, "revision": revision}


def _words(known: dict[str, Any]) -> str:
    return "; ".join(_parts(known))


def _parts(known: dict[str, Any]) -> Iterator[str]:
    if "fault" in known:
        yield known["fault"]
        return
    if known["release"]:
        yield f"release {known['release']}"
    yield f"running {', '.join(known['running'])}" if known["running"] else "not running"
    if known["revision"]:
        yield f"database at revision {known['revision']}"
