"""The database commands: each is a module of the app, which knows models and migrations as we don't."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import process
from opentr.runtimes.embedded import Embedded
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

LINT_RULES = CHECKOUT / "backend" / "alembic" / "squawk.toml"
FIRST_OF_OURS = "0002"
"""Revisions up to this one are as OpenTranscribe made them; they are run on empty databases alone."""


def run_verb(verb: str, args: Sequence[str]) -> int:
    """Run `python -m app.db <verb>` with these arguments and return its exit code."""
    return Embedded().run_module("app.db", [verb, *args])


def write_revision(args: Sequence[str]) -> int:
    """Write the next revision, then lint it; return the exit code of the first of the two that isn't 0.

    With --json the output is data, so the findings are left to `db lint`.
    """
    code = run_verb("revision", args)
    return code or (0 if {"-h", "--help", "--json"} & set(args) else lint("head-1"))


def lint(start: str = FIRST_OF_OURS) -> int:
    """Hold the migrations' SQL, from the revision after `start` on, against squawk's rules; 1 if one is broken.

    The findings go to our own output. Raises ProcessFailed for a revision that there isn't.
    """
    sql = process.run([sys.executable, "-I", "-m", "app.db.sql", "--from", start])
    with tempfile.TemporaryDirectory(prefix="opentr-") as folder:
        file = Path(folder) / "migrations.sql"
        file.write_text(sql, encoding="utf-8")
        return process.attached([str(Path(sys.executable).with_name("squawk")), "--config", str(LINT_RULES), str(file)])
