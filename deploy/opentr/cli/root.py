"""The first word of a command.

The modules of this package are thin and import what they call when they call it: a command waits for its own imports
alone.
"""

from __future__ import annotations

from pathlib import Path

import click

from opentr.cli.backup import backup
from opentr.cli.build import build
from opentr.cli.config import config
from opentr.cli.db import db
from opentr.cli.deploy import deploy, migrate, rollback
from opentr.cli.inside import exec_, psql, sample, shell
from opentr.cli.lifecycle import rebuild_backend, restart, restart_all, restart_backend, start, stop
from opentr.cli.logs import logs
from opentr.cli.look import health, status, version
from opentr.cli.remove import clean, purge, remove
from opentr.cli.reset import init_db, reset
from opentr.cli.restore import restore
from opentr.cli.transcribe import transcribe

PROGRAM = "./opentr.sh"
_SECTIONS = {
    "Every day": ("start", "stop", "restart", "status", "logs", "reset", "transcribe"),
    "New releases": ("deploy", "rollback", "migrate"),
    "Keep safe": ("backup", "restore"),
    "Look inside": ("psql", "shell", "exec", "health", "db", "sample"),
    "Set up": ("config", "build", "init-db", "version", "completion", "help"),
    "Take away": ("clean", "remove", "purge"),
    "Older names": ("restart-backend", "restart-all", "rebuild-backend", "upgrade"),
}


class Sections(click.Group):
    """A group whose help lists the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each section, then what stands in none."""
        listed = [name for names in _SECTIONS.values() for name in names]
        rest = [name for name in self.list_commands(ctx) if name not in listed]
        width = max(len(name) for name in self.commands)
        for title, names in (*_SECTIONS.items(), ("More", rest)):
            rows = [
                (f"{name:{width}}", self.commands[name].get_short_help_str(60))
                for name in names
                if name in self.commands
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's own
    if wanted:
        click.echo((Path(__file__).resolve().parents[3] / "VERSION").read_text(encoding="utf-8").strip())
        ctx.exit()


@click.group(
    cls=Sections,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"More: {PROGRAM} COMMAND --help. Where [dev|prod] is left out, dev is meant.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print it.")
def root() -> None:
    """Run and look after OpenTranscribe's data platform."""


@root.command("help")
@click.argument("command", nargs=-1)
def help_(command: tuple[str, ...]) -> int:
    """Show the help of a command, as in: help db check."""
    code: int | None = root.main([*command, "--help"], prog_name=PROGRAM, standalone_mode=False)
    return code or 0


@root.command(epilog='\b\nExample:\n  eval "$(./opentr.sh completion bash)"')
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def completion(shell: str) -> None:
    """Print what a shell reads to complete commands and services."""
    from opentr.actions.completion import source

    click.echo(source(root, shell))


root.add_command(backup)
root.add_command(restore)
for command in (deploy, rollback, migrate):
    root.add_command(command)
root.add_command(deploy, "upgrade")
for command in (start, stop, restart, status, logs, reset, psql, shell, exec_, health, db, sample, build, init_db):
    root.add_command(command)
for command in (transcribe, config, version, clean, remove, purge, restart_backend, restart_all, rebuild_backend):
    root.add_command(command)
