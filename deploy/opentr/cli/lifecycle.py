"""start, stop, restart, and their older names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from opentr.cli import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentr.actions.environment import Environment
    from opentr.actions.steps import Step

_BACKEND = ("api", "worker")


@click.command(epilog=words.examples("start dev --profile infra"))
@words.environment
@click.option("--profile", type=click.Choice(("infra", "app")), default="app", help="infra: the data services alone.")
@words.plan
@words.as_json
@words.runtime
def start(*, environment: str, profile: str, plan: bool, as_json: bool, runtime: str | None) -> None:
    """Start an environment, or take on what has changed.

    Builds images whose sources have changed, makes the database if there is none, and waits until every service is
    healthy. What is up as it should be is left alone. Without a Docker engine dev's services are local processes, and
    nothing is built. The first `start prod` makes this checkout the release; from then on only deploy changes it.
    """
    from opentr.actions import addresses, services
    from opentr.actions import start as action
    from opentr.cli import terminal

    found = _change(
        "start",
        environment,
        lambda found: action.steps(found, services.profile(found, profile)),
        plan=plan,
        runtime=runtime,
    )
    if as_json and not plan:
        terminal.print_json(addresses.data(found))
    elif not plan:
        click.echo("\n".join(addresses.lines(found)))


@click.command(epilog=words.examples("stop", "stop prod", "stop dev worker"))
@words.services
@words.plan
@words.runtime
def stop(*, words_: tuple[str, ...], plan: bool, runtime: str | None) -> None:
    """Stop an environment, or single services. Data stays, and start goes on with it."""
    from opentr.actions import stop as action

    environment, chosen = _services(words_)
    _change("stop", environment, lambda found: action.steps(found, chosen), plan=plan, runtime=runtime)


@click.command(epilog=words.examples("restart", "restart prod postgres"))
@words.services
@words.plan
@words.runtime
def restart(*, words_: tuple[str, ...], plan: bool, runtime: str | None) -> None:
    """Restart an environment, or single services.

    Postgres is restarted while the pool holds its clients: they wait for a moment and see no error (local processes
    have no pool). In dev, changed settings are taken on.
    """
    from opentr.actions import restart as action

    environment, chosen = _services(words_)
    _change("restart", environment, lambda found: action.steps(found, chosen), plan=plan, runtime=runtime)


@click.command("restart-all", epilog=words.examples("restart-all"))
@words.environment
@words.plan
@words.runtime
def restart_all(*, environment: str, plan: bool, runtime: str | None) -> None:
    """Restart every service: `restart` by its older name."""
    from opentr.actions import restart as action

    _change("restart-all", environment, lambda found: action.steps(found, ()), plan=plan, runtime=runtime)


@click.command("restart-backend", epilog=words.examples("restart-backend"))
@words.environment
@words.plan
@words.runtime
def restart_backend(*, environment: str, plan: bool, runtime: str | None) -> None:
    """Restart the API and the workers."""
    from opentr.actions import restart as action

    _change("restart-backend", environment, lambda found: action.steps(found, _BACKEND), plan=plan, runtime=runtime)


@click.command("rebuild-backend", epilog=words.examples("rebuild-backend"))
@words.environment
@words.plan
@words.runtime
def rebuild_backend(*, environment: str, plan: bool, runtime: str | None) -> None:
    """Build API and workers anew and put them in place.

    In prod, deploy does that.
    """
    from opentr.actions import rebuild as action

    _change("rebuild-backend", environment, lambda found: action.steps(found, _BACKEND), plan=plan, runtime=runtime)


def _services(words_: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    from opentr.actions import services

    environment, rest = words.split_environment(words_)
    return environment, services.named(environment, rest)


def _change(
    verb: str, name: str, steps: Callable[[Environment], list[Step]], *, plan: bool, runtime: str | None
) -> Environment:
    """Run the steps that are found to be needed, or print them."""
    from opentr import ui
    from opentr.actions import environment, opening
    from opentr.actions.steps import run
    from opentr.cli import terminal

    # Who stops an environment doesn't want a deploy that was cut short to be finished first.
    opened = environment.opened if verb == "stop" else opening.opened
    with opened(name, command=f"./opentr.sh {verb} {name}", changes=not plan, runtime=runtime) as found:
        needed = steps(found)
        if plan:
            terminal.print_plan(needed)
        else:
            run(needed)
            if not needed:
                ui.note("nothing to do: everything is as it should be")
    return found
