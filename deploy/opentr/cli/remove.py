"""`clean`, `remove` and `purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opentr.cli import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.steps import Step


@click.command(epilog=words.examples("clean", "clean prod --plan"))
@words.environment
@click.option("--replaced", is_flag=True, help="prod: also what restores have put aside and may still be needed.")
@words.plan
@words.confirm
@words.yes
@words.runtime
def clean(  # noqa: PLR0913 - what a user may say
    *, environment: str, replaced: bool, plan: bool, confirm: str | None, yes: bool, runtime: str | None
) -> None:
    """Remove what nothing needs any more.

    Those are old images and templates, leftovers of killed commands, the logs of builds, and in prod what restores have
    put aside, once a backup of what serves now is proven, with --replaced before, too. For that the environment's name
    is asked for; --yes alone leaves it there.
    """
    from opentr.actions import aside
    from opentr.actions import remove as action
    from opentr.actions.opening import opened
    from opentr.cli import terminal

    if replaced and environment != "prod":
        raise click.UsageError("--replaced is for prod: ./opentr.sh clean prod --replaced")
    with opened(environment, command=f"clean {environment}", changes=not plan, runtime=runtime) as found:
        put_aside = aside.found(found)
        going = aside.chosen(put_aside, anyway=replaced, answered=plan or replaced or bool(confirm) or not yes)
        for each in put_aside:
            if each.needed or each.step not in going:
                what = each.step.what.removeprefix("remove ")
                why = each.needed or "--yes doesn't answer for it, --confirm prod does"
                click.echo(f"{'may be needed' if replaced else 'stays'}: {what}: {why}", err=True)
        steps = [*action.clean_steps(found), *going]
        if not plan and steps:
            _tell(steps)
            if going:
                terminal.confirmed_name(environment, given=confirm, deed="remove these, for good")
            else:
                terminal.confirmed(yes=yes, deed="remove these")
        _run(steps, plan=plan)


@click.command(epilog=words.examples("remove dev"))
@words.named_environment
@words.plan
@words.confirm
@words.yes
@words.runtime
def remove(*, environment: str, plan: bool, confirm: str | None, yes: bool, runtime: str | None) -> None:
    """Remove containers or processes; the data stays.

    Images and secrets stay too: `start` brings it all back. With containers their networks go, with processes their
    logs.
    """
    from opentr.actions import remove as action
    from opentr.actions.environment import opened
    from opentr.cli import terminal

    with opened(environment, command=f"remove {environment}", changes=not plan, runtime=runtime) as found:
        steps = action.remove_steps(found)
        if not plan and steps:
            _tell(steps)
            if environment == "dev":
                terminal.confirmed(yes=yes, deed="remove these; data, images and secrets stay")
            else:
                terminal.confirmed_name(environment, given=confirm, deed="remove these; data, images and secrets stay")
        _run(steps, plan=plan)


@click.command(epilog=words.examples("purge dev --plan", "purge dev"))
@words.named_environment
@words.plan
@words.confirm
@words.runtime
def purge(*, environment: str, plan: bool, confirm: str | None, runtime: str | None) -> None:
    """Remove everything for good, all data too.

    Containers and networks (or processes), data, images, and the state with its secrets and dumps.
    """
    from opentr.actions import remove as action
    from opentr.actions.environment import opened
    from opentr.cli import terminal

    with opened(environment, command=f"purge {environment}", changes=not plan, runtime=runtime) as found:
        steps = action.purge_steps(found)
        if not plan:
            _tell(steps)
            terminal.confirmed_name(environment, given=confirm, deed="remove all of these, for good")
        _run(steps, plan=plan)


def _tell(steps: Sequence[Step]) -> None:
    click.echo("\n".join(step.what for step in steps), err=True)


def _run(steps: Sequence[Step], *, plan: bool) -> None:
    from opentr.actions import steps as running
    from opentr.cli import terminal

    if plan:
        terminal.print_plan(steps)
        return
    running.run(steps)
    if not steps:
        click.echo("There is nothing to remove.")
