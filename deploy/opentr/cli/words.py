"""The words that many commands share: the environment's name and the common options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

DEV = "dev"
ENVIRONMENTS = (DEV, "prod")

environment = click.argument("environment", type=click.Choice(ENVIRONMENTS), default=DEV, metavar="[dev|prod]")
"""For what doesn't destroy: dev unless said otherwise. Gives `environment`."""

named_environment = click.argument("environment", type=click.Choice(ENVIRONMENTS), metavar="dev|prod")
"""For what destroys: it must be said. Gives `environment`."""

plan = click.option("--plan", is_flag=True, help="Print the steps; change nothing.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print data, for programs.")
yes = click.option("--yes", "-y", is_flag=True, help="Answer yes to the questions.")
confirm = click.option("--confirm", metavar="NAME", help="The environment's name, where it would have to be typed.")
runtime = click.option(
    "--runtime",
    type=click.Choice(("compose", "embedded")),
    help="What runs the services: containers or, dev only, processes. Default: what is here.",
)
"""Gives `runtime`: None, or the name of the wanted one."""


def _complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """What a shell may offer: the environments and their services."""
    from opentr.actions.services import known

    taken = ctx.params.get(parameter.name or "") or ()
    words = [*ENVIRONMENTS, *known("prod")]
    return [word for word in words if word.startswith(incomplete) and word not in taken]


services = click.argument("words_", nargs=-1, metavar="[dev|prod] [SERVICE]...", shell_complete=_complete)
"""Gives `words_`, for `split_environment`."""


def examples(*commands: str) -> str:
    """The end of a command's help: what one types, a line each."""
    return "\b\n" + "\n".join(
        ["Examples:" if commands[1:] else "Example:", *(f"  ./opentr.sh {each}" for each in commands)]
    )


def split_environment(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The environment among a command's words, dev by default, and the other words.

    For commands whose other words are services, as `logs [dev|prod] [service…]`. The name counts where it stands first
    or last, so that `logs prod api` and `logs api prod` are the same.
    """
    for place in (0, -1):
        if words and words[place] in ENVIRONMENTS:
            rest = list(words)
            return rest.pop(place), tuple(rest)
    return DEV, tuple(words)


def leading_environment(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """As `split_environment`, for commands whose words are another program's: the name counts where it stands first."""
    if words and words[0] in ENVIRONMENTS:
        return words[0], tuple(words[1:])
    return DEV, tuple(words)


def take_confirm(given: str | None, words: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """`--confirm NAME` wherever it stands among another program's words, and the other words."""
    for place, word in enumerate(words):
        if word == "--confirm" and place + 1 < len(words):
            return words[place + 1], (*words[:place], *words[place + 2 :])
        if word.startswith("--confirm="):
            return word.partition("=")[2], (*words[:place], *words[place + 1 :])
    return given, tuple(words)
