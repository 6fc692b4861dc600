"""shell, exec, psql and sample: programs inside an environment."""

from __future__ import annotations

import click

from opentr.cli import words

_ALL_WORDS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@click.command(epilog=words.examples("shell", "shell worker", "shell prod postgres"))
@words.services
@words.runtime
def shell(*, words_: tuple[str, ...], runtime: str | None) -> int:
    """Open a shell in a running service. Default: api."""
    from opentr.actions import inside, services
    from opentr.actions.environment import opened

    environment, rest = words.split_environment(words_)
    if len(rest) > 1:
        raise click.UsageError("a shell is opened in one service")
    (service,) = services.named(environment, rest or ["api"])
    with opened(environment, command="shell", changes=False, runtime=runtime) as found:
        return inside.shell(found, service)


@click.command(
    "exec",
    context_settings=_ALL_WORDS,
    epilog=words.examples("exec api -- python -V", "exec prod redis -- ls /var/lib/redis"),
)
@click.argument("words_", nargs=-1, required=True, metavar="[dev|prod] SERVICE -- COMMAND...", type=click.UNPROCESSED)
def exec_(*, words_: tuple[str, ...]) -> int:
    """Run a program in a running service."""
    from opentr.actions import inside, services
    from opentr.actions.environment import opened

    environment, rest = words.leading_environment(words_)
    if not rest:
        raise click.UsageError("name the service")
    (service,), command = services.named(environment, rest[:1]), rest[1:]
    command = command[1:] if command[:1] == ("--",) else command
    if not command:
        raise click.UsageError(f"name the program, as in: exec {service} -- ls")
    with opened(environment, command="exec", changes=False) as found:
        return inside.execute(found, service, command)


@click.command(
    context_settings=_ALL_WORDS,
    epilog=words.examples("psql", "psql -c 'SELECT now()'", "psql prod --write"),
)
@click.option("--write", is_flag=True, help="prod: act as app_owner. Without, prod is read as app_ro.")
@click.argument("words_", nargs=-1, metavar="[dev|prod] [--] [PSQL-OPTION]...", type=click.UNPROCESSED)
def psql(*, words_: tuple[str, ...], write: bool) -> int:
    """Run psql on the database; prod is only read.

    dev: as app_owner. prod: as app_ro, in read-only transactions, unless --write is given.
    """
    from opentr.actions import inside
    from opentr.actions.environment import opened

    environment, rest = words.leading_environment(words_)
    if rest[:1] == ("--write",):
        write, rest = True, rest[1:]
    rest = rest[1:] if rest[:1] == ("--",) else rest
    with opened(environment, command="psql", changes=False) as found:
        return inside.psql(found, rest, write=write)


@click.command(
    context_settings=_ALL_WORDS,
    epilog=words.examples("sample dev --users 5 --files 200", "sample dev -- --help"),
)
@words.confirm
@click.argument("words_", nargs=-1, metavar="[dev|prod] [OPTION]...", type=click.UNPROCESSED)
def sample(*, words_: tuple[str, ...], confirm: str | None) -> int:
    """Add made-up users, recordings and transcripts."""
    from opentr.actions import inside
    from opentr.actions.environment import opened
    from opentr.cli import terminal

    environment, rest = words.leading_environment(words_)
    confirm, rest = words.take_confirm(confirm, rest)
    rest = rest[1:] if rest[:1] == ("--",) else rest
    if environment == "prod":
        terminal.confirmed_name(environment, given=confirm, deed="add made-up users to prod")
    with opened(environment, command="sample", changes=False) as found:
        return inside.sample(found, rest)
