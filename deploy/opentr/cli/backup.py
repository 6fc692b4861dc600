"""`backup`: taken, listed, looked at, proven."""

from __future__ import annotations

import click

from opentr.cli import words


class Taking(click.Group):
    """A group that does something without a command's name, and takes the environment's name before one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take `dev` or `prod` from before the command's name; the rest goes the usual way."""
        for place, word in enumerate(args):
            if word in self.commands:
                break
            if word in words.ENVIRONMENTS:
                ctx.obj = word
                args = [*args[:place], *args[place + 1 :]]
                break
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """What may follow: the environment, or a command."""
        return ["[dev|prod]", *super().collect_usage_pieces(ctx)]


@click.group(
    cls=Taking,
    invoke_without_command=True,
    no_args_is_help=False,
    subcommand_metavar="[COMMAND [ARGS]...]",
    epilog=words.examples("backup prod", "backup prod --type full", "backup list", "backup verify newest"),
)
@click.option("--type", "kind", type=click.Choice(("full", "diff", "incr")), help="prod: which. Default: incr.")
@click.option("--logical", is_flag=True, help="prod: a dump, for another major version of Postgres.")
@words.plan
@words.as_json
@words.runtime
@click.pass_context
def backup(  # noqa: PLR0913 - what a user may say
    ctx: click.Context, *, kind: str | None, logical: bool, plan: bool, as_json: bool, runtime: str | None
) -> None:
    """Take a backup, or look at those that there are.

    prod is backed up as a whole while it runs: incrementally, where there is a backup to build on. dev is dumped; a
    dump counts once it was restored beside. A backup counts once it is proven: backup verify.
    """
    given = [kind, logical, plan, as_json]
    if ctx.invoked_subcommand:
        if any(given):
            raise click.UsageError(f"--type, --logical, --plan and --json don't go before {ctx.invoked_subcommand}")
        return
    environment = ctx.obj or words.DEV
    if kind and (environment == words.DEV or logical):
        raise click.UsageError("--type is for backups of prod; a dump is always of everything")
    _take(environment, kind, logical=logical or environment == words.DEV, plan=plan, as_json=as_json, runtime=runtime)


def _take(  # noqa: PLR0913 - as above
    environment: str, kind: str | None, *, logical: bool, plan: bool, as_json: bool, runtime: str | None
) -> None:
    from opentr.actions import backup as action
    from opentr.actions import dumping
    from opentr.actions.opening import opened
    from opentr.cli import backuptext, terminal

    with opened(environment, command=f"./opentr.sh backup {environment}", changes=not plan, runtime=runtime) as found:
        if plan:
            terminal.print_plan(dumping.steps(found) if logical else action.steps(found, kind))
        elif logical:
            dump = dumping.take(found)
            _print(backuptext.dump_data(dump), backuptext.dumped(dump), as_json=as_json)
        else:
            done = action.take(found, kind, action.BY_HAND)
            _print(backuptext.data(done), backuptext.taken(done), as_json=as_json)


@backup.command("list", epilog=words.examples("backup list", "backup list dev", "backup list --json"))
@click.argument("environment", type=click.Choice(words.ENVIRONMENTS), required=False, metavar="[dev|prod]")
@words.as_json
@words.runtime
@click.pass_context
def list_(ctx: click.Context, *, environment: str | None, as_json: bool, runtime: str | None) -> None:
    """List the backups and dumps, the newest last.

    Without a name those of prod, where prod was ever started from here, else those of dev.
    """
    from opentr.actions import backuplist
    from opentr.actions.environment import opened
    from opentr.cli import backuptext

    with opened(environment or _usual(ctx), command="backup list", changes=False, runtime=runtime) as found:
        saved = backuplist.look(found)
    data = [backuptext.data(each) for each in saved.backups] + [backuptext.dump_data(each) for each in saved.dumps]
    _print(data, backuptext.listing(saved), as_json=as_json)


@backup.command(epilog=words.examples("backup show newest", "backup show 20261122-221530F --json"))
@click.argument("wanted", metavar="ID")
@words.as_json
@words.runtime
@click.pass_context
def show(ctx: click.Context, *, wanted: str, as_json: bool, runtime: str | None) -> None:
    """Show all that is known of a backup.

    ID is one of `backup list`, or its beginning, or newest.
    """
    from opentr.actions import backuplist
    from opentr.actions.environment import opened
    from opentr.actions.safety import Dump
    from opentr.cli import backuptext

    with opened(_usual(ctx), command="backup show", changes=False, runtime=runtime) as found:
        one = backuplist.find(backuplist.look(found), wanted)
        if isinstance(one, Dump):
            _print(backuptext.dump_data(one), backuptext.dump_details(one), as_json=as_json)
            return
        manifest = backuplist.details(found, one)
        _print(backuptext.data(one) | {"manifest": manifest}, backuptext.details(one, manifest), as_json=as_json)


@backup.command(epilog=words.examples("backup verify", "backup verify 20261122-221530F"))
@click.argument("wanted", metavar="[ID]", default="newest")
@words.as_json
@words.runtime
@click.pass_context
def verify(ctx: click.Context, *, wanted: str, as_json: bool, runtime: str | None) -> None:
    """Prove a backup: restore it beside, and compare.

    The copy reaches no service of ours, and is gone afterwards. It is brought to the backup's restore point, every
    index and page is checked, and every table compared with what was written down then. Default: the newest.
    """
    from opentr.actions import backup as action
    from opentr.actions import backuplist, dumping
    from opentr.actions.environment import opened
    from opentr.actions.safety import Dump
    from opentr.cli import backuptext

    with opened(_usual(ctx), command="backup verify", changes=False, runtime=runtime) as found:
        one = backuplist.find(backuplist.look(found), wanted)
        if isinstance(one, Dump):
            dumping.prove(found, one)
            _print(backuptext.dump_data(one), backuptext.dumped(one), as_json=as_json)
        else:
            receipt = action.prove(found, one.label)
            _print(receipt.data(), backuptext.proven(receipt), as_json=as_json)


def _usual(ctx: click.Context) -> str:
    """The environment that was named before the command, or the one that has backups."""
    from opentr.actions.backuplist import usual_environment

    return str(ctx.obj or usual_environment())


def _print(data: object, lines: list[str], *, as_json: bool) -> None:
    from opentr.cli import terminal

    if as_json:
        terminal.print_json(data)
    else:
        click.echo("\n".join(lines))
