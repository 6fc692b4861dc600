"""Programs inside an environment, on the user's own terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from opentr.actions.services import refuse_absent
from opentr.server import psql as server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.environment import Environment

# The prompt says where it is, whatever the shell's own files have set, unless they have such a command themselves.
_SHELL_PROMPT = r"PS1='[{project} {service}] \w\$ '"
_PROMPT = "{name}%R%x%# "


def shell(environment: Environment, service: str) -> int:
    """A shell in a running service; returns its exit code. Raises PoolAbsent, ServiceNotRunning."""
    refuse_absent(environment, [service])
    prompt = _SHELL_PROMPT.format(project=environment.settings.project, service=service)
    return environment.runtime.attach_to(service, ["env", f"PROMPT_COMMAND={prompt}", "bash"])


def execute(environment: Environment, service: str, command: Sequence[str]) -> int:
    """Run a program in a running service; returns its exit code. Raises PoolAbsent, ServiceNotRunning."""
    refuse_absent(environment, [service])
    return environment.runtime.attach_to(service, command)


def psql(environment: Environment, words: Sequence[str], *, write: bool) -> int:
    """Run psql on the database, by the local socket; returns its exit code. Raises ServiceNotRunning."""
    typed = sys.stdin.isatty()
    return environment.runtime.attach_to("postgres", psql_argv(environment.name, words, write=write, typed=typed))


def psql_argv(name: str, words: Sequence[str], *, write: bool, typed: bool) -> list[str]:
    """The command: as app_owner in dev and where it may write, else as app_ro, in read-only transactions.

    What isn't typed by a person ends at the first error, and says so by its exit code.
    """
    may_write = write or name == "dev"
    options = "-c role=app_owner" if may_write else "-c role=app_ro -c default_transaction_read_only=on"
    prompt = _PROMPT.format(name=f"{name} %/" if may_write else f"{name} %/ (read only)")
    return [
        "env",
        f"PGOPTIONS={options}",
        "PGAPPNAME=opentr psql",
        "psql",
        *("-U", "postgres", "-d", server.DATABASE),
        *("-v", f"PROMPT1={prompt}", "-v", "HISTFILE=~/.psql_history", "-P", "pager=off"),
        *([] if typed else ["-v", "ON_ERROR_STOP=1"]),
        *words,
    ]


def sample(environment: Environment, words: Sequence[str]) -> int:
    """Add made-up users and recordings; returns the exit code. Whoever had to agree has: prod's name was asked for."""
    agreed = [] if "--yes" in words else ["--yes"]
    return environment.runtime.attach_once("migrate", ["python", "-m", "app.db.sample", *agreed, *words])
