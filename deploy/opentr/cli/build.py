"""`./opentr.sh build`."""

from __future__ import annotations

import click

from opentr.cli import words


@click.command(epilog=words.examples("build", "build postgres", "build prod --plan"))
@click.argument("names", nargs=-1, metavar="[dev|prod] [IMAGE...]")
@click.option("--no-cache", is_flag=True, help="Build them anew, whatever is there.")
@words.plan
@words.runtime
def build(names: tuple[str, ...], *, no_cache: bool, plan: bool, runtime: str | None) -> None:
    """Build the images that the code has changed, or these ones.

    Where services are local processes there are no images: their packages are installed instead.
    """
    from opentr.actions import build as action
    from opentr.actions import steps
    from opentr.actions.opening import opened
    from opentr.cli.terminal import print_plan

    environment, images = words.split_environment(names)
    with opened(environment, command="build", changes=not plan, runtime=runtime) as opened_environment:
        planned = action.steps(opened_environment, images, no_cache=no_cache)
        if plan:
            print_plan(planned)
            return
        steps.run(planned)
        if not planned:
            click.echo(action.nothing_words(opened_environment))
