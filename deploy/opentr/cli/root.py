"""The first word of a command.

The modules of this package are thin and import what they call when they call it: a command waits for its own imports
alone.
"""

from __future__ import annotations

from pathlib import Path

import click

from opentr.cli.db import db

PROGRAM = "./opentr.sh"
VERSION_FILE = Path(__file__).resolve().parents[3] / "VERSION"


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=f"More: {PROGRAM} COMMAND --help")
def root() -> None:
    """Run and look after OpenTranscribe's data platform."""


@root.command()
def version() -> None:
    """Show the version of this release."""
    click.echo(VERSION_FILE.read_text(encoding="utf-8").strip())


@root.command("help")
@click.argument("command", nargs=-1)
def help_(command: tuple[str, ...]) -> int:
    """Show the help of a command, as in: help db check."""
    code: int | None = root.main([*command, "--help"], prog_name=PROGRAM, standalone_mode=False)
    return code or 0


root.add_command(db)
