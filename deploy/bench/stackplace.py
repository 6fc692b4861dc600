"""The stack that is measured: one of its own, on free ports, removed in the end; and how it is asked things."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.db.report import Table
from app.db.scratch import free_port
from opentr.containers import Engine
from tests.stacks import Stack
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PREFIX = "opentr-bench"
INIT_DB = "database/init_db.sql"


@dataclass
class Place:
    """The stack, and the tables that are ready to be shown."""

    stack: Stack
    tables: list[Table] = field(default_factory=list)

    def add(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """One table of results."""
        self.tables.append(Table(title, columns, rows))

    def take(self) -> list[Table]:
        """The tables since the last call."""
        taken, self.tables = self.tables, []
        return taken

    def sql(self, statement: str) -> str:
        """What the database answers, to a superuser."""
        psql = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "opentranscribe"]
        return run(["docker", "exec", self.stack.containers()["postgres"].id, *psql, "-c", statement]).strip()

    def compose(self, *words: str, stdin: str = "") -> str:
        """What a user would type in place of the tool: docker compose, with the same file and variables."""
        checkout, state = self.stack.checkout, self.stack.state
        files = ["--file", checkout / "docker-compose.dev.yml", "--env-file", state / "compose.env"]
        command = ["docker", "compose", "--project-name", self.stack.project, *files, *words]
        return run(command, stdin=stdin)


@dataclass
class ProdPlace(Place):
    """A stack of prod, and the checkout that its releases come from."""

    tree: Tree = field(kw_only=True)
    gigabytes: float = field(kw_only=True)
    """how much sample data it is to have"""


def run(command: Sequence[str | Path], *, stdin: str = "") -> str:
    """Runs a command, which must succeed; returns its standard output."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@contextmanager
def own_stack() -> Iterator[Place]:
    """A dev stack whose images are built; nothing runs yet."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, _removed(_named(Path(folder))) as stack:
        stack.done("build", "dev")
        yield Place(stack)


@contextmanager
def own_prod(gigabytes: float) -> Iterator[ProdPlace]:
    """A running prod stack of a checkout of its own, empty as yet."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder, _removed(_named(Path(folder))) as stack:
        tree = Tree.copy_to(Path(folder) / "tree")
        stack.checkout = tree.root
        stack.settings["OPENTR_PROXY_PORT"] = str(free_port())
        stack.done("start", "prod")
        yield ProdPlace(stack, tree=tree, gigabytes=gigabytes)


def _named(folder: Path) -> Stack:
    stack = Stack(Engine(), folder)
    stack.project = f"{PREFIX}-{stack.project.rpartition('-')[2]}"
    return stack


@contextmanager
def _removed(stack: Stack) -> Iterator[Stack]:
    """Nothing of it is left after the block."""
    try:
        yield stack
    finally:
        stack.remove()
