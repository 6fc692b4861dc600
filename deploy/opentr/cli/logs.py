"""`./opentr.sh logs`."""

from __future__ import annotations

from typing import Any

import click

from opentr.cli import words

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command(
    epilog=words.examples("logs postgres", "logs api worker --since 10m --level warning", "logs prod --grep timeout -f")
)
@click.argument("names", nargs=-1, metavar="[dev|prod] [SERVICE]...")
@click.option("--since", metavar="WHEN", help="From then on: 10m, 2h, 1d ago, or a time: 2026-01-02T03:04.")
@click.option("--grep", metavar="REGEX", help="Only entries in which this is found; (?i) at its begin: in any case.")
@click.option("--level", type=click.Choice(LEVELS), help="Only entries of this level and above.")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="The newest N of the entries that fit.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@words.as_json
@click.option("--no-color", is_flag=True, help="No colours on a terminal; NO_COLOR in the environment does the same.")
@words.runtime
def logs(names: tuple[str, ...], *, as_json: bool, no_color: bool, runtime: str | None, **query: Any) -> int:  # noqa: ANN401 - the fields of Wanted
    """Show what the services have written, merged by time.

    All services, or those that are named. Lines that belong together (a statement below its error, a traceback) are one
    entry: --grep and --level keep it as a whole, --tail counts it once. Passwords and tokens are blotted out. Times are
    of this machine's time zone, with --json in UTC. --follow begins with the newest 100 entries.
    """
    from opentr.actions.logs import Wanted, entries
    from opentr.cli import loglines

    environment, services = words.split_environment(names)
    found = entries(environment, Wanted(services, **query), runtime)
    shown = loglines.as_json if as_json else loglines.text(colour=not no_color).of
    return loglines.show(map(shown, found), at_once=query["follow"])
