"""`reset` and `init-db`: data made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opentr.cli import words

if TYPE_CHECKING:
    from opentr.actions.database import Source
    from opentr.actions.environment import Environment

_FROM = click.Choice(("sql", "migrations"))


@click.command(epilog=words.examples("reset dev", "reset dev --undo", "reset prod --plan"))
@words.environment
@click.option("--undo", is_flag=True, help="Swap back to the generation before; again: forth.")
@click.option("--from", "source", type=_FROM, help="What makes the schema in dev. Default: sql, which is init_db.sql.")
@click.option("--hard", is_flag=True, help="dev: remove all data first, for good. There is no undo.")
@click.option("--without-dump", is_flag=True, help="prod: go on without a dump. The old data stays beside the new.")
@words.plan
@words.as_json
@words.yes
@words.confirm
@words.runtime
def reset(  # noqa: PLR0913 - what a user may say
    *,
    environment: str,
    undo: bool,
    source: Source | None,
    hard: bool,
    without_dump: bool,
    plan: bool,
    as_json: bool,
    yes: bool,
    confirm: str | None,
    runtime: str | None,
) -> None:
    """Make the data anew: schema, administrator, nothing else.

    dev asks nothing, since --undo brings the old data back. prod stops what writes, dumps the database, proves the dump
    by restoring it, and always asks for the environment's name.
    """
    _refuse_combinations(environment, undo=undo, source=source, hard=hard, without_dump=without_dump)
    from opentr.actions.opening import opened

    with opened(environment, command=f"reset {environment}", changes=not plan, runtime=runtime) as found:
        if environment == "prod":
            _reset_prod(found, undo=undo, dump=not without_dump, plan=plan, as_json=as_json, confirm=confirm)
        else:
            answer = environment if yes else confirm
            _reset_dev(found, undo=undo, source=source or "sql", hard=hard, plan=plan, as_json=as_json, confirm=answer)


def _refuse_combinations(environment: str, **given: object) -> None:
    chosen = {name for name, value in given.items() if value}
    if environment == "prod" and chosen & {"source", "hard"}:
        raise click.UsageError(
            "--from and --hard are for dev; prod is made by its migrations, and `purge prod` removes all"
        )
    if environment == "dev" and "without_dump" in chosen:
        raise click.UsageError("--without-dump is for prod; dev makes no dump")
    if "undo" in chosen and chosen - {"undo"}:
        raise click.UsageError("--undo goes with neither --from, --hard nor --without-dump")


def _reset_dev(  # noqa: PLR0913 - as above
    found: Environment, *, undo: bool, source: Source, hard: bool, plan: bool, as_json: bool, confirm: str | None
) -> None:
    from opentr.actions import reset as action
    from opentr.actions import steps as running
    from opentr.cli import terminal

    if hard:
        doomed = action.hard_steps(found)
        if plan:
            terminal.print_plan([*doomed, action.anew_step(found, source)])
            return
        terminal.confirmed_name(found.name, given=confirm, deed=action.hard_deed(found))
        running.run(doomed)
    steps = action.undo_steps(found) if undo else action.steps(found, source)
    if plan:
        terminal.print_plan(steps)
        return
    running.run(steps)
    done = action.summary(found, undone=undo)
    if as_json:
        terminal.print_json(done.data())
    else:
        click.echo("\n".join(done.lines()))


def _reset_prod(  # noqa: PLR0913 - as above
    found: Environment, *, undo: bool, dump: bool, plan: bool, as_json: bool, confirm: str | None
) -> None:
    from opentr.actions import reset_prod as action
    from opentr.actions import steps as running
    from opentr.cli import terminal

    if plan:
        terminal.print_plan(action.undo_steps(found) if undo else action.steps(found, dump=dump))
        return
    data = action.observe(found)
    click.echo("\n".join(data.lines()), err=True)
    steps = action.undo_steps(found) if undo else action.steps(found, dump=dump)
    terminal.confirmed_name(found.name, given=confirm, deed=action.deed(found, undo=undo, dump=dump))
    running.run(steps)
    done = action.outcome(found)
    if as_json:
        terminal.print_json(done.data())
    else:
        click.echo("\n".join(done.lines()))


@click.command("init-db", epilog=words.examples("init-db dev"))
@words.environment
@words.plan
@words.runtime
def init_db(*, environment: str, plan: bool, runtime: str | None) -> None:
    """Make the schema where the database is empty."""
    from opentr.actions import initdb
    from opentr.actions import steps as running
    from opentr.actions.opening import opened
    from opentr.cli import terminal

    with opened(environment, command=f"init-db {environment}", changes=not plan, runtime=runtime) as found:
        steps = initdb.steps(found)
        if plan:
            terminal.print_plan(steps)
        else:
            running.run(steps)
