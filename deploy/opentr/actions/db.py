"""The database commands: each is a module of the app, which knows models and migrations as we don't.

A verb that works on a database runs as a one-off of the environment, which reaches it and has its passwords. With
--dsn, or where the environment's variables name a database, it runs in .venv; the verbs about the code always do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import process
from opentr.settings import CHECKOUT
from opentr.settings.database import names_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.environment import Environment

LINT_RULES = CHECKOUT / "backend" / "alembic" / "squawk.toml"
FIRST_OF_OURS = "0002"
"""Revisions up to this one are as OpenTranscribe made them; they are run on empty databases alone."""
ON_DATABASES = frozenset({"adopt", "current", "migrate", "inspect", "tags"})
"""The verbs that work on a database; the others work on the code."""
CHANGING = frozenset({"adopt", "migrate"})
_HELP = frozenset({"-h", "--help"})


def is_local(verb: str, args: Sequence[str]) -> bool:
    """Whether a verb needs no environment: it is about the code, or is told which database it is to work on."""
    told = any(word.split("=")[0] == "--dsn" for word in args)
    return verb not in ON_DATABASES or told or bool(_HELP & set(args)) or names_database()


def run_verb(verb: str, args: Sequence[str]) -> int:
    """Run `python -m app.db <verb>` with these arguments in .venv, on our terminal, and return its exit code.

    Raises ProcessKilled if a signal that we didn't pass on ended it.
    """
    return process.attached([sys.executable, "-I", "-m", "app.db", verb, *args])


def run_verb_in(environment: Environment, verb: str, args: Sequence[str]) -> int:
    """The same as a one-off beside the environment's database. Raises ServiceNotRunning if that isn't up."""
    environment.runtime.run_in("postgres", ["true"])
    return environment.runtime.attach_once("migrate", ["python", "-m", f"app.db.{verb}", *args])


def write_revision(args: Sequence[str]) -> int:
    """Write the next revision, then lint it; return the exit code of the first of the two that isn't 0.

    With --json the output is data, so the findings are left to `db lint`.
    """
    code = run_verb("revision", args)
    return code or (0 if (_HELP | {"--json"}) & set(args) else lint("head-1"))


def lint(start: str = FIRST_OF_OURS) -> int:
    """Hold the migrations' SQL, from the revision after `start` on, against squawk's rules; 1 if one is broken.

    The findings go to our own output. Raises ProcessFailed for a revision that there isn't.
    """
    sql = process.run([sys.executable, "-I", "-m", "app.db.sql", "--from", start])
    with tempfile.TemporaryDirectory(prefix="opentr-") as folder:
        file = Path(folder) / "migrations.sql"
        file.write_text(sql, encoding="utf-8")
        return process.attached([str(Path(sys.executable).with_name("squawk")), "--config", str(LINT_RULES), str(file)])
