"""Wrong usage in words: what is wrong, with the nearest name, and what to type next."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from opentr.cli.root import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterable

# difflib's own limit of 0.6 finds nothing for a word of two letters with one of them wrong.
_LIKENESS = 0.5


def usage_words(error: click.UsageError) -> tuple[str, str]:
    """What happened, and what to type next. A group without a command gets its help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message(), f"\ntype one of these commands after {_path(error)}"
    return _what(error), f"type {_path(error)} --help to see what there is"


def _what(error: click.UsageError) -> str:
    match error:
        case click.exceptions.NoSuchCommand():
            return f"no such command '{error.command_name}'" + _guess(error.command_name, _commands(error))
        case click.NoSuchOption():
            return f"no such option '{error.option_name}'" + _guess(error.option_name, error.possibilities or [])
        case _:
            return error.format_message().rstrip(".")


def _guess(name: str, known: Iterable[str]) -> str:
    return "".join(f"; did you mean '{near}'?" for near in get_close_matches(name, known, n=1, cutoff=_LIKENESS))


def _commands(error: click.UsageError) -> Iterable[str]:
    group = error.ctx.command if error.ctx else None
    return group.commands if isinstance(group, click.Group) else []


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else PROGRAM
