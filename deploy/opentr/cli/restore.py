"""`restore`: data brought back, from a dump in a file or from production's own backups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opentr.cli import words

if TYPE_CHECKING:
    from opentr.actions.environment import Environment

_EXAMPLES = ("restore opentranscribe.sql", "restore prod dump.sql.gz", "restore prod --latest", "restore prod --undo")


@click.command(epilog=words.examples(*_EXAMPLES))
@click.argument("words_", nargs=-1, metavar="[dev|prod] [FILE]", type=click.Path())
@click.option("--latest", is_flag=True, help="prod: bring back all that was archived, to the last moment.")
@click.option("--backup", metavar="ID", help="prod: go back to where this backup ended; `newest` is one.")
@click.option("--undo", is_flag=True, help="prod: put back what the last --latest or --backup replaced.")
@words.plan
@words.as_json
@words.confirm
@words.runtime
def restore(  # noqa: PLR0913 - what a user may say
    *,
    words_: tuple[str, ...],
    latest: bool,
    backup: str | None,
    undo: bool,
    plan: bool,
    as_json: bool,
    confirm: str | None,
    runtime: str | None,
) -> None:
    """Bring data back, from a dump or from prod's own backups.

    FILE is a dump of OpenTranscribe's database: SQL as pg_dump writes it, also by gzip, or pg_dump's custom format. It
    is loaded beside the live database, proven, and swapped in; `reset --undo` swaps back. --latest and --backup bring
    back all of prod's cluster. Nothing live goes before the new is proven; prod always asks for its name.
    """
    environment, rest = words.leading_environment(words_)
    _refuse_combinations(environment, rest, latest=latest, backup=backup, undo=undo)
    from opentr.actions.opening import opened

    with opened(environment, command=f"restore {environment}", changes=not plan, runtime=runtime) as found:
        if rest:
            _from_file(found, Path(rest[0]), plan=plan, as_json=as_json, confirm=confirm)
        else:
            _from_backup(
                found, None if undo or latest else backup, undo=undo, plan=plan, as_json=as_json, confirm=confirm
            )


def _refuse_combinations(environment: str, rest: tuple[str, ...], **given: object) -> None:
    chosen = [f"--{name}" for name, value in given.items() if value] + ["FILE"] * bool(rest)
    if len(rest) > 1:
        raise click.UsageError(f"one FILE is restored, and {len(rest)} were named: {' '.join(rest)}")
    if not chosen:
        raise click.UsageError("say what is to be restored: FILE, or in prod --latest, --backup ID or --undo")
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} don't go together: it is one of them")
    if environment == "dev" and not rest:
        raise click.UsageError(
            f"{chosen[0]} is for prod, as in: ./opentr.sh restore prod {chosen[0]}; dev restores a FILE"
        )


def _from_file(found: Environment, path: Path, *, plan: bool, as_json: bool, confirm: str | None) -> None:
    from opentr.actions import dumpfile
    from opentr.actions import restore_file as action
    from opentr.cli import terminal

    dump = dumpfile.examine(path)
    if plan:
        terminal.print_plan(action.steps(found, dump))
        return
    if found.name == "prod":
        click.echo("\n".join(action.comparison(action.observe(found), dump)), err=True)
        action.steps(found, dump)  # what is refused is refused before it is asked for
        terminal.confirmed_name(found.name, given=confirm, deed=action.deed(found, dump))
    done = action.run(found, dump)
    if as_json:
        terminal.print_json(done.data())
    else:
        click.echo("\n".join(done.lines()))


def _from_backup(  # noqa: PLR0913 - as above
    found: Environment, backup: str | None, *, undo: bool, plan: bool, as_json: bool, confirm: str | None
) -> None:
    from datetime import UTC, datetime

    from opentr.actions import restore as action
    from opentr.cli import terminal

    stake = action.observe_undo(found) if undo else action.observe(found, backup)
    if plan:
        terminal.print_plan(action.steps(found, stake))
        return
    if not action.is_done(stake):
        now = datetime.now(UTC)
        click.echo("\n".join(stake.lines(now)), err=True)
        terminal.confirmed_name(found.name, given=confirm, deed=action.deed(found, stake, now))
    done = action.run(found, stake)
    if as_json:
        terminal.print_json(done.data())
    else:
        click.echo("\n".join(done.lines()))
