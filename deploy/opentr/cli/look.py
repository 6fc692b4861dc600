"""status, health and version."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from opentr.cli import words

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.status import Status

_REPAINT_SECONDS = 2.0


@click.command(epilog=words.examples("status prod", "status --watch"))
@words.environment
@click.option("--watch", is_flag=True, help="Keep it on the screen until Ctrl-C.")
@words.as_json
@words.runtime
def status(*, environment: str, watch: bool, as_json: bool, runtime: str | None) -> None:
    """Show services, health, versions, the database and the pool."""
    from opentr.actions import status as action
    from opentr.actions.environment import opened
    from opentr.cli import statustext, terminal

    with opened(environment, command="status", changes=False, runtime=runtime) as found:
        if watch:
            terminal.repaint(lambda: [*_title(found), *statustext.lines(action.look(found))], _REPAINT_SECONDS)
        elif as_json:
            terminal.print_json(_data(action.look(found)))
        else:
            terminal.print_states(statustext.lines(action.look(found)))


@click.command(epilog=words.examples("health prod && echo well"))
@words.environment
@words.as_json
@words.runtime
def health(*, environment: str, as_json: bool, runtime: str | None) -> int:
    """Say whether all is healthy; exit code 1 if not."""
    from opentr.actions import health as action
    from opentr.actions.environment import opened
    from opentr.cli import terminal

    with opened(environment, command="health", changes=False, runtime=runtime) as found:
        known = action.look(found)
    if as_json:
        terminal.print_json({"healthy": known.healthy, "services": known.services})
    else:
        terminal.print_states(known.lines())
    return 0 if known.healthy else 1


@click.command(epilog=words.examples("version --json"))
@words.as_json
def version(*, as_json: bool) -> None:
    """Show the version of this tool, and what runs here."""
    from opentr.actions import versions
    from opentr.cli import terminal

    if as_json:
        terminal.print_json(versions.data())
    else:
        click.echo("\n".join(versions.lines()))


def _title(found: Environment) -> list[str]:
    return [f"{found.settings.project} at {datetime.now().astimezone():%H:%M:%S}; Ctrl-C ends", ""]


def _data(found: Status) -> dict[str, object]:
    services = [asdict(each) | {"healthy": each.healthy} for each in found.services]
    return asdict(found) | {"services": services, "healthy": found.healthy}
