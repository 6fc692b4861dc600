"""How deploys look, in lines of at most 80 columns."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from opentr.cli.terminal import columns, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.history import Entry

_TITLES = ("id", "way", "release", "outcome")
_SHOWN = ("label", "dump", "pending", "applied", "replaced", "tables", "rows", "revision")


def table(entries: Sequence[Entry]) -> list[str]:
    """A line each; the revision and the phases are told by `lines`."""
    if not entries:
        return ["nothing was deployed here yet; type ./opentr.sh deploy prod"]
    return columns([_row(each) for each in entries], titles=_TITLES)


def lines(entry: Entry) -> list[str]:
    """One of them, with its phases."""
    facts = {
        "deploy": f"{entry.id} ({entry.way}), begun {entry.at.astimezone():%Y-%m-%d %H:%M:%S}",
        "before": entry.before,
        "to": entry.to,
        "outcome": _outcome(entry) + (f" after {seconds(entry.seconds)}" if entry.seconds is not None else ""),
        "serving": entry.release,
        "database": f"revision {entry.revision}" if entry.revision else None,
        "why": entry.why,
    }
    told = [f"{title:9} {text}" for title, text in facts.items() if text]
    shown = _SHOWN if entry.why else (*_SHOWN, "error")  # else it would stand there twice
    rows = [
        {
            "phase": each["phase"],
            "state": "cut short" if each["state"] == "started" and entry.seconds is not None else each["state"],
            "took": seconds(each["seconds"]) if each["seconds"] is not None else "",
            "": "; ".join(f"{name} {_words(each['data'][name])}" for name in shown if each["data"].get(name)),
        }
        for each in entry.phases
    ]
    return [*told, "", *columns(rows, titles=("phase", "state", "took", ""))] if rows else told


def data(entry: Entry) -> dict[str, object]:
    """For programs."""
    return asdict(entry)


def _row(entry: Entry) -> dict[str, str]:
    took = f" in {seconds(entry.seconds)}" if entry.outcome == "done" and entry.seconds is not None else ""
    return {
        "id": entry.id,
        "way": entry.way,
        "release": entry.release or entry.to,
        "outcome": _outcome(entry) + took,
    }


def _outcome(entry: Entry) -> str:
    at = entry.failed_in
    return f"{entry.outcome} in {at}" if entry.outcome != "done" and at else entry.outcome


def _words(value: object) -> str:
    words = ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)
    return words.partition("\n")[0]
