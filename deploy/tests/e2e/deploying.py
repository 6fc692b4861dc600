"""Deploys at work: stopped in the middle by what happens to them, and what must be true afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.db.scratch import free_port
from opentr.journal import STARTED, Operation, operations
from opentr.state import State
from tests.e2e.watching import LIVE, databases, sql, summary, wait_until
from tests.e2e.writers import fault, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack
    from tests.trees import Tree

PHASE_SECONDS = 240
"""How long a test waits for a phase, on a machine that does other things as well."""


def loaded(stacks: MakeStack, tree: Tree) -> Stack:
    """A prod stack of that tree, started, at a port that stays the same, with a backup."""
    made = stacks(checkout=tree.root, PROXY_PORT=str(free_port()))
    made.done("start", "prod")
    wait_until(lambda: bool(backups(made)))
    return made


def backups(stack: Stack) -> list[dict[str, Any]]:
    """The stack's backups, oldest first, as the tool lists them."""
    found: list[dict[str, Any]] = json.loads(stack.done("backup", "list", "prod", "--json"))
    return found


@dataclass
class Running:
    """`./opentr.sh` at work beside us."""

    stack: Stack
    process: subprocess.Popen[str]
    output: IO[str]
    before: set[str]
    """the operations that were there already"""

    @property
    def said(self) -> str:
        """All that it has said so far."""
        self.output.seek(0)
        return self.output.read()

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.process.poll() is not None

    def wait_for(self, phase: str) -> None:
        """Waits until its journal says that this phase has begun."""

        def begun() -> bool:
            mine = [each for each in journal(self.stack) if each.id not in self.before]
            return self.ended or any(each.found(phase, STARTED) for each in mine)

        wait_until(begun, PHASE_SECONDS)
        assert not self.ended, f"it ended before {phase}: {self.said}"

    def kill(self) -> None:
        """SIGKILL, to the tool alone: what it has started lives on."""
        self.process.kill()
        self.process.wait()

    def exit_code(self) -> int:
        """Waits for its end."""
        return self.process.wait(PHASE_SECONDS)


@contextmanager
def at_work(stack: Stack, *words: str) -> Iterator[Running]:
    """`./opentr.sh` with these words, beside the block; killed at its end if it still runs."""
    before = {each.id for each in journal(stack)}
    command = [stack.command, *words]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, env=stack.variables, stdout=output, stderr=subprocess.STDOUT, text=True)
        try:
            yield Running(stack, process, output, before)
        finally:
            process.kill()
            process.wait()


def journal(stack: Stack) -> list[Operation]:
    """All operations of the stack, oldest first."""
    return operations(State(stack.state, "", "", stack.project, "prod"))


def current(stack: Stack) -> dict[str, Any]:
    """The record of the release that is current."""
    record: dict[str, Any] = json.loads((stack.state / "release.json").read_text(encoding="utf-8"))
    return record


def revision(stack: Stack) -> str:
    """Where the database stands."""
    return sql(stack, "SELECT version_num FROM alembic_version")


@dataclass
class Aftermath:
    """What must be true of a stack whatever happened to a deploy; `wrong` is what isn't."""

    stack: Stack
    wrong: list[str] = field(default_factory=list)

    def must(self, true: object, words: str) -> None:
        """Keeps the words if it isn't so."""
        if not true:
            self.wrong.append(words)


def aftermath(stack: Stack) -> list[str]:
    """What is wrong: one release must serve, all records agree on it and on the revision, nothing be left behind."""
    found = Aftermath(stack)
    _services(found)
    _records(found)
    _leftovers(found)
    return found.wrong


def _services(found: Aftermath) -> None:
    """Each service once, healthy, with the image of the current release; answers through the proxy."""
    stack, images = found.stack, current(found.stack)["images"]
    there = [each for each in stack.engine.containers(stack.project) if not each.oneoff]
    for name in ("postgres", "pgbouncer", "redis", "api", "worker", "proxy"):
        mine = [each for each in there if each.service == name]
        found.must(len(mine) == 1, f"{name}: {len(mine)} containers")
        found.must(all(each.image == images[name] for each in mine), f"{name}: not the image of the current release")
        ill = [(each.state, each.health) for each in mine if each.health != "healthy"]
        found.must(not ill, f"{name}: {ill}")
    for path in ("/health", "/ready", "/api/files"):
        reason = fault(page(stack, path))
        found.must(reason is None, f"{path} through the proxy: {reason}")


def _records(found: Aftermath) -> None:
    """Database, journal and `status` agree."""
    stack, reached = found.stack, revision(found.stack)
    told: Any = summary(stack, "status", "prod")
    database = told["database"]["revision"]
    found.must(database == reached, f"status says revision {database}, the database {reached}")
    version = current(stack)["version"]
    found.must(told["release"] == version, f"status says release {told['release']}, the record {version}")
    found.must(told["outdated"] == [], f"status says outdated: {told['outdated']}")
    found.must(not told["pool"]["paused"], "the pool is paused")
    found.must(told["holder"] is None, f"the lock is held by {told['holder']}")
    made = journal(stack)
    found.must(all(each.closed for each in made), f"not closed: {[each.id for each in made if not each.closed]}")
    deploys = [each.closed for each in made if each.kind == "deploy" and each.closed]
    if deploys:
        closing = deploys[-1].data
        found.must(
            closing.get("revision") == reached, f"the journal closes with {closing}, the database is at {reached}"
        )


def _leftovers(found: Aftermath) -> None:
    """No container of a command, no session and lock of a migrator, no database and index that isn't to be there."""
    stack = found.stack
    oneoffs = [each.name for each in stack.engine.containers(stack.project) if each.oneoff]
    found.must(oneoffs == [], f"containers left behind: {oneoffs}")
    others = databases(stack) - {LIVE}
    found.must(not others, f"databases left behind: {others}")
    sessions = sql(stack, "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE '%migrat%'")
    found.must(sessions == "", f"sessions left behind: {sessions}")
    locks = sql(stack, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    found.must(locks == "0", f"{locks} advisory locks left behind")
    invalid = sql(stack, "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")
    found.must(invalid == "", f"invalid indexes: {invalid}")


def seconds_by_step(operation: Operation) -> dict[str, float]:
    """How long each step of the operation took, in seconds."""
    taken = {}
    for each in operation.events:
        begun = operation.found(each.step, STARTED)
        if each.kind == "done" and begun:
            taken[each.step] = round((each.at - begun.at).total_seconds(), 1)
    return taken


def names(said: str, *words: str) -> list[str]:
    """Which of these words don't stand in what was said, whatever the case."""
    return [word for word in words if not re.search(re.escape(word), said, re.IGNORECASE)]
