"""The database commands: each is a module of the app, which knows models and migrations as we don't."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.runtimes.embedded import Embedded

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_verb(verb: str, args: Sequence[str]) -> int:
    """Run `python -m app.db.<verb>` with these arguments and return its exit code."""
    return Embedded().run_module(f"app.db.{verb}", args)
