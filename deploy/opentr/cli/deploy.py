"""deploy (alias upgrade), migrate and rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from opentr.cli import words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentr.actions.environment import Environment

_PROD = click.argument("environment", type=click.Choice(("prod",)), default="prod", metavar="[prod]")


@click.group(epilog=words.examples("deploy prod --plan", "deploy prod", "deploy prod --to 0.2.0", "deploy history"))
def deploy() -> None:
    """Bring a new release into production; list those before.

    prod makes the release; history and show tell of those before. In dev there is nothing to deploy: its code is the
    checkout's.
    """


@deploy.command("prod", epilog=words.examples("deploy prod --plan", "deploy prod", "deploy prod --to v0.2.0"))
@click.option("--to", metavar="VERSION", help="A release that was deployed here, or a git tag. Default: this checkout.")
@words.plan
@words.as_json
@words.runtime
def prod(*, to: str | None, plan: bool, as_json: bool, runtime: str | None) -> None:
    """Bring this checkout, or another version, into production.

    Everything that would stop it halfway is looked for first; then a backup is taken and proven by restoring it, the
    schema is migrated, the images are replaced, and the result is verified. If something fails, the release before
    serves on; nothing that was written is lost.
    """
    from opentr.actions import candidate
    from opentr.actions import deploy as action

    with _opened("deploy prod", changes=not plan, runtime=runtime) as found, candidate.meant(found, to) as target:
        _run(action.prepared(found, target, "deploy", _teller(as_json)), plan=plan, as_json=as_json)


@deploy.command(epilog=words.examples("deploy history", "deploy history --json"))
@words.as_json
@words.runtime
def history(*, as_json: bool, runtime: str | None) -> None:
    """List what was deployed, the newest last."""
    from opentr.actions import history as action
    from opentr.cli import deploytext, terminal

    with _opened("deploy history", changes=False, runtime=runtime) as found:
        entries = action.entries(found.state)
    if as_json:
        terminal.print_json([deploytext.data(each) for each in entries])
    else:
        click.echo("\n".join(deploytext.table(entries)))


@deploy.command(epilog=words.examples("deploy show", "deploy show 20261122T221530Z"))
@click.argument("id_", metavar="[ID]", required=False)
@words.as_json
@words.runtime
def show(*, id_: str | None, as_json: bool, runtime: str | None) -> None:
    """Show one deploy, phase by phase. Default: the newest."""
    from opentr.actions import history as action
    from opentr.cli import deploytext, terminal

    with _opened("deploy show", changes=False, runtime=runtime) as found:
        entry = action.find(found.state, id_)
    if as_json:
        terminal.print_json(deploytext.data(entry))
    else:
        click.echo("\n".join(deploytext.lines(entry)))


@click.command(epilog=words.examples("migrate prod --plan", "migrate prod", "migrate dev"))
@words.environment
@words.plan
@words.as_json
@words.runtime
def migrate(*, environment: str, plan: bool, as_json: bool, runtime: str | None) -> int:
    """Run the pending migrations of the code that is in use.

    prod: with the checks, the proven backup and the verification of a deploy, and with the images that serve.
    """
    from opentr.actions import deploy as action
    from opentr.actions import releases
    from opentr.actions.candidate import Target
    from opentr.errors.deploy import NothingDeployed

    with _opened("migrate", environment, changes=not plan, runtime=runtime) as found:
        if environment == "dev":
            return _migrate_dev(found, plan=plan, as_json=as_json)
        release = releases.current(found)
        if release is None:
            raise NothingDeployed(found.settings.project)
        _run(action.prepared(found, Target(None, release), "migrate", _teller(as_json)), plan=plan, as_json=as_json)
    return 0


@click.command(epilog=words.examples("rollback prod --plan", "rollback prod"))
@_PROD
@words.plan
@words.as_json
@words.runtime
def rollback(*, environment: str, plan: bool, as_json: bool, runtime: str | None) -> None:
    """Bring the release before back, on the schema as it is.

    Refused where the schema no longer tolerates it. Nothing that was written is lost: the schema stays.
    """
    from opentr.actions import rollback as action
    from opentr.cli import terminal

    with _opened("rollback", environment, changes=not plan, runtime=runtime) as found:
        if plan:
            terminal.print_plan(action.steps(found))
            return
        told = action.run(found, _teller(as_json))
    if not as_json:
        click.echo("\n".join(told))


def _opened(verb: str, environment: str = "prod", *, changes: bool, runtime: str | None) -> Any:  # noqa: ANN401
    from opentr.actions.opening import opened

    return opened(environment, command=f"./opentr.sh {verb}", changes=changes, runtime=runtime)


def _run(deploy_: Any, *, plan: bool, as_json: bool) -> None:  # noqa: ANN401 - imported when it is called
    from opentr.actions import deploy as action
    from opentr.cli import terminal

    if plan:
        terminal.print_plan(action.steps(deploy_))
        return
    action.run(deploy_)
    if not as_json:
        click.echo("\n".join(action.lines(deploy_)))


def _migrate_dev(found: Environment, *, plan: bool, as_json: bool) -> int:
    from opentr.actions import db

    given = [*(["--plan"] if plan else []), *(["--json"] if as_json else [])]
    return db.run_verb_in(found, "migrate", given)


def _teller(as_json: bool) -> Callable[[Mapping[str, Any]], None] | None:  # noqa: FBT001 - its one argument
    """With --json each event is a line of its own, as it happens."""
    import json

    return (lambda event: click.echo(json.dumps(event, default=str))) if as_json else None
