"""`./opentr.sh config ...`: what is set, what follows from it, and whether it can work."""

from __future__ import annotations

import sys

import click

from opentr.cli import words

PARTS = ("settings", "postgres", "pgbouncer", "redis", "proxy")
COMMAND = "./opentr.sh config"


@click.group(epilog=words.examples("config show settings", "config check prod"))
def config() -> None:
    """Show, check and apply the settings."""


@config.command(epilog=words.examples("config show", "config show pgbouncer prod"))
@click.argument("names", nargs=-1, metavar="[settings|postgres|pgbouncer|redis|proxy] [dev|prod]")
@words.as_json
def show(names: tuple[str, ...], *, as_json: bool) -> None:
    """Show the settings, or a service's configuration.

    With pgbouncer also how its pool sizes come about. The proxy is prod's.
    """
    environment, rest = words.split_environment(names)
    part = click.Choice(PARTS).convert(rest[0], None, click.get_current_context()) if rest else PARTS[0]
    if len(rest) > 1:
        raise click.UsageError(f"Got unexpected extra argument ({rest[1]})", click.get_current_context())
    if part == "settings":
        _show_settings(environment, as_json=as_json)
    else:
        _show_service(part, "prod" if part == "proxy" else environment, as_json=as_json)


@config.command(epilog=words.examples("config check", "config check prod"))
@words.environment
@words.as_json
def check(environment: str, *, as_json: bool) -> int:
    """Look for settings that can't work here.

    Also for what was changed and isn't in use yet. Ends with 4 if something can't work.
    """
    from dataclasses import asdict

    from opentr.actions import config as action
    from opentr.cli.terminal import print_json
    from opentr.errors import ExitCode

    found = action.check(environment, f"{COMMAND} check {environment}")
    if as_json:
        print_json([asdict(one) for one in found])
    for one in [] if as_json else found:
        print(f"{'✗' if one.blocks else '!'} {one.what}\n  {one.hint}")
    if not (found or as_json):
        print("nothing to remark: the settings can work here, and what runs has them")
    return ExitCode.BLOCKED if any(one.blocks for one in found) else ExitCode.DONE


@config.command(epilog=words.examples("config apply", "config apply prod"))
@words.environment
@words.plan
def apply(environment: str, *, plan: bool) -> None:
    """Take on what was changed, in services that run.

    Settings and secrets, with the images that are in use.
    """
    from opentr.actions import takeon as action
    from opentr.cli.terminal import print_plan

    steps = action.apply(environment, f"{COMMAND} apply {environment}", plan=plan)
    if plan:
        print_plan(steps)
    elif not steps:
        print("nothing has changed")


@config.command(epilog=words.examples("config path", "config path prod"))
@words.environment
def path(environment: str) -> None:
    """Print the folder of secrets, rendered files and log."""
    from opentr.actions import config as action

    print(action.folder(environment))


def _show_settings(environment: str, *, as_json: bool) -> None:
    from opentr.actions import config as action
    from opentr.cli.terminal import columns, print_json

    values = action.values(environment)
    if as_json:
        print_json({one.name: {"value": one.value, "origin": one.origin} for one in values})
        return
    rows = [{"setting": one.name, "value": one.value or "-", "from": one.origin} for one in values]
    print("\n".join(columns(rows, titles=("setting", "value", "from"))))


def _show_service(service: str, environment: str, *, as_json: bool) -> None:
    from opentr.actions import config as action
    from opentr.cli.terminal import print_json

    shown = action.rendered(service, environment)
    if as_json:
        print_json({"explanation": shown.explanation, "files": shown.files})
        return
    if shown.explanation:
        print(*shown.explanation, "", sep="\n")
    for name, text in shown.files.items():
        print(f"==> {name} <==")
        sys.stdout.write(f"{text}\n")
