"""`./opentr.sh db ...`: each verb is a module of the app, and its arguments are the module's own business."""

from __future__ import annotations

import click

from opentr.cli import words

VERBS = {
    "check": "Prove that SQL, models, migrations and schemas agree.",
    "adopt": "Bring a database that was made by hand under the migrations.",
    "current": "Show at which revision a database is.",
    "history": "List the revisions.",
    "sql": "Print the SQL of revisions without running it.",
    "migrate": "Bring a database to the newest revision.",
    "revision": "Write a new revision from what has changed in the models.",
    "inspect": "Show the state of a database: sizes, index use, sessions, locks.",
    "tags": "Show tags and the files that carry them.",
}


class Verb(click.Command):
    """A command that hands on all of its arguments as they were typed, --help too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the arguments unread."""
        ctx.args = list(args)
        return []


@click.group(
    epilog="adopt, current, migrate, inspect and tags work on the environment that is named first (dev by default), or "
    "on another database: --dsn URL. Examples: ./opentr.sh db current prod, ./opentr.sh db check"
)
def db() -> None:
    """Check, migrate and inspect the database."""


def _run(ctx: click.Context) -> int:
    from opentr.actions import db as action

    verb = str(ctx.info_name)
    environment, rest = words.leading_environment(ctx.args)
    confirm, rest = words.take_confirm(None, rest)
    if verb == "revision":
        return action.write_revision(ctx.args)
    if action.is_local(verb, ctx.args):
        return action.run_verb(verb, ctx.args)
    return _run_in(environment, verb, rest, confirm)


def _run_in(environment: str, verb: str, args: tuple[str, ...], confirm: str | None) -> int:
    from opentr.actions import db as action
    from opentr.actions.opening import opened
    from opentr.cli import terminal

    changes = verb in action.CHANGING and "--plan" not in args
    if changes and environment == "prod":
        deed = f"{verb} prod by hand, without the backup and the rehearsal that ./opentr.sh deploy prod makes"
        terminal.confirmed_name(environment, given=confirm, deed=deed)
    with opened(environment, command=f"./opentr.sh db {verb} {environment}", changes=changes) as found:
        return action.run_verb_in(found, verb, args)


@db.command(short_help="Hold the migrations' SQL against the rules.")
@click.option("--from", "start", default=None, metavar="REVISION", help="begin after this one, or after head-1")
def lint(start: str | None) -> int:
    """Hold the migrations' SQL against the rules for changing a database in use."""
    from opentr.actions import db as action

    return action.lint(start) if start else action.lint()


for name, sentence in VERBS.items():
    db.add_command(
        Verb(name, callback=click.pass_context(_run), help=sentence, short_help=sentence, add_help_option=False)
    )
