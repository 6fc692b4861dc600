"""What was deployed here, as the journal tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import journal
from opentr.actions import course
from opentr.errors.deploy import DeployUnknown

if TYPE_CHECKING:
    from datetime import datetime

    from opentr.journal import Operation
    from opentr.state import State

GOING_ON = "unfinished"
_TITLES = {"deploy": "deploy", "migrate": "migration", "rollback": "rollback"}


@dataclass(frozen=True)
class Entry:
    """One deploy, rollback or migration."""

    id: str
    way: str
    at: datetime
    before: str
    """the release that served"""
    to: str
    outcome: str
    """done, reverted, failed; unfinished: it goes on now, or was cut short"""
    release: str | None
    """what served when it had ended"""
    revision: str | None
    seconds: float | None
    why: str | None
    """where it failed, and how"""
    phases: tuple[dict[str, Any], ...]

    @property
    def failed_in(self) -> str | None:
        """The phase that failed or was cut short; the way back is none."""
        ended = (each["phase"] for each in self.phases if each["state"] != journal.DONE)
        return next((name for name in ended if name != course.BACK), None)


def described(operation: Operation) -> str:
    """The operation in words: the deploy of 0.2.0 that was cut short during migrate."""
    title = _TITLES.get(str(operation.begun.data.get("way")), operation.kind)
    at = next((each.step for each in reversed(operation.events) if each.step in (*course.PHASES, course.BACK)), None)
    to = operation.begun.data.get("to")
    return f"the {title}{f' of {to}' if to else ''} that was cut short{f' during {at}' if at else ''}"


def unfinished(state: State) -> str | None:
    """The operation that goes on now or was cut short, in words; None if there is none."""
    operation = journal.unfinished(state)
    return described(operation) if operation else None


def entries(state: State) -> list[Entry]:
    """All of them, oldest first. Raises StateUnreadable."""
    return [_entry(each) for each in journal.operations(state) if each.kind == course.KIND]


def find(state: State, wanted: str | None) -> Entry:
    """The one of this id, of which the beginning is enough; the newest if none is named. Raises DeployUnknown."""
    there = entries(state)
    found = [each for each in there if wanted is None or each.id.startswith(wanted)]
    exact = [each for each in found if each.id == wanted]
    if not found or (wanted is not None and len(found) > 1 and not exact):
        raise DeployUnknown(wanted, [each.id for each in there])
    return (exact or found)[-1]


def _entry(operation: Operation) -> Entry:
    begun, closed = operation.begun, operation.closed
    data = closed.data if closed else {}
    return Entry(
        id=operation.id,
        way=str(begun.data.get("way", "")),
        at=begun.at,
        before=str(begun.data.get("before", "")),
        to=str(begun.data.get("to", "")),
        outcome=str(data.get("outcome", GOING_ON)),
        release=data.get("release"),
        revision=data.get("revision"),
        seconds=round((closed.at - begun.at).total_seconds(), 1) if closed else None,
        why=data.get("why"),
        phases=tuple(_phases(operation)),
    )


def _phases(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for event in operation.events:
        if event.kind == journal.STARTED:
            found.append({"phase": event.step, "state": journal.STARTED, "at": event.at, "seconds": None, "data": {}})
        elif event.kind in (journal.DONE, journal.FAILED) and found and found[-1]["phase"] == event.step:
            seconds = round((event.at - found[-1]["at"]).total_seconds(), 1)
            found[-1] |= {"state": event.kind, "seconds": seconds, "data": event.data}
    return found
