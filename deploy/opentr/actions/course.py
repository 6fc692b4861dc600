"""A deploy or a rollback under way: its journal, what it knows so far, and how it ends.

Each phase is written down before and after. An error of ours closes the operation here, with the release before
serving; what else cuts it short (a kill, Ctrl-C, a fault of our own) leaves it open, and `opentr.actions.recovery`
ends it with the next command.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from opentr import journal
from opentr.actions import releases
from opentr.errors import ExitCode, OpentrError
from opentr.errors.deploy import Interrupted
from opentr.server import tables
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release
    from opentr.journal import Operation

KIND = "deploy"
"""The kind of operation in the journal, for deploys, rollbacks and migrations alone."""
DONE, REVERTED, FAILED = "done", "reverted", "failed"
"""How one ends: the new release serves; the one before serves (on); an operator must act."""
PREFLIGHT, ROLES, BACKUP, PROVE = "preflight", "roles", "backup", "prove"
MIGRATE, ROLL, VERIFY, BACK = "migrate", "roll", "verify", "back"
_TOUCHING = (ROLL, VERIFY)
"""The phases that touch what serves."""
PHASES = (PREFLIGHT, ROLES, BACKUP, PROVE, MIGRATE, ROLL, VERIFY)


@dataclass(frozen=True)
class Phase:
    """One of them."""

    name: str
    what: str
    """in the user's words"""
    how: str
    """the commands, as one would type them"""
    do: Callable[[], dict[str, Any]]
    """returns what the journal is to know"""


def _silent(_: Mapping[str, Any]) -> None:
    """Nobody listens."""


@dataclass
class Course:
    """What is known of it so far."""

    environment: Environment
    way: str
    """deploy, migrate, rollback"""
    before: Release
    to: str
    """the release that is to serve, in words"""
    tell: Callable[[Mapping[str, Any]], None] = _silent
    more: Mapping[str, Any] = field(default_factory=dict)
    """what else the journal's first event is to know"""
    operation: Operation | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """what each phase has left for the journal"""

    def run(self, phases: list[Phase], back: Callable[[OpentrError], NoReturn]) -> None:
        """Go through the phases; `back` is called if one fails that has touched what serves, to undo that and raise.

        Raises what the first one that fails raises, or `back`; then the operation is closed.
        """
        known = {"way": self.way, "before": self.before.id, "to": self.to, **self.more}
        self.operation = journal.begin(self.environment.state, KIND, **known)
        self.tell({"event": "begun", "id": self.operation.id, **known})
        try:
            for phase in phases:
                self._do(phase, back)
        except OpentrError as error:
            if not self.operation.closed and not self.operation.found(BACK, journal.STARTED):
                outcome = FAILED if error.exit_code == ExitCode.OPERATOR else REVERTED
                self.close(outcome, self.before, why=error.what)
            raise

    def _do(self, phase: Phase, back: Callable[[OpentrError], NoReturn]) -> None:
        try:
            with self.phase(phase.name, phase.what) as result:
                result.update(phase.do())
        except OpentrError as error:
            if phase.name in _TOUCHING:
                back(error)
            if phase.name != PREFLIGHT and error.exit_code == ExitCode.BLOCKED:
                error.exit_code = ExitCode.FAILED  # type: ignore[misc] # of this one: preflight had let it pass
            if (now := standing(self.environment, self.before)) not in error.what:
                error.what += f"; {now}"
            raise
        except (KeyboardInterrupt, SystemExit):
            if phase.name in _TOUCHING:
                back(Interrupted())  # else production would stay half replaced until somebody types the next command
            raise

    @property
    def times(self) -> str:
        """How long it took, and the phases of it that took a while: 53 s (backup 3, prove 7, roll 25)."""
        whole = sum(self.seconds.values())
        parts = ", ".join(f"{name} {took:.0f}" for name, took in self.seconds.items() if took >= 1)
        return f"{whole:.0f} s" + (f" ({parts})" if parts else "")

    @contextmanager
    def phase(self, name: str, what: str) -> Iterator[dict[str, Any]]:
        """One phase: told, written down, timed."""
        assert self.operation is not None  # noqa: S101 - `run` begins it
        self.tell({"event": "started", "phase": name})
        began = time.monotonic()
        try:
            with self.operation.step(name, what) as result:
                yield result
        except OpentrError as error:
            self.tell({"event": "failed", "phase": name, "seconds": self._took(name, began), "error": error.what})
            raise
        self.facts[name] = result
        self.tell({"event": "done", "phase": name, "seconds": self._took(name, began), **result})

    def close(self, outcome: str, serving: Release, **data: Any) -> None:  # noqa: ANN401 - JSON
        """Write down how it ended, and what is true now."""
        assert self.operation is not None  # noqa: S101 - `run` begins it
        ended = ending(self.environment, serving) | data
        self.operation.close(outcome, **ended)
        self.tell({"event": "closed", "outcome": outcome, **ended})

    def _took(self, name: str, began: float) -> float:
        self.seconds[name] = round(time.monotonic() - began, 1)
        return self.seconds[name]


def ending(environment: Environment, serving: Release) -> dict[str, Any]:
    """What the journal says when an operation is closed: which release serves, and where the database is."""
    return {"release": serving.id, "version": serving.version, "revision": reached(environment)}


def standing(environment: Environment, before: Release) -> str:
    """What serves now, as errors from before `roll` say it."""
    up = {each.service for each in environment.runtime.services() if each.state == "running"}
    return f"{before} goes on serving" if up >= {"postgres", "api"} else f"{before} isn't serving, as before"


def reached(environment: Environment) -> str | None:
    """The revision that a fresh connection sees; None while the database doesn't answer."""
    try:
        return tables.revision(environment.runtime, LIVE)
    except OpentrError:
        return None


def serves(environment: Environment, release: Release) -> None:
    """Write down that this release is the one that serves from now on."""
    releases.store(environment, release)
    releases.make_current(environment, release)
