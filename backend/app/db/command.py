"""The edge of every `python -m app.db.<verb>`: words in, one call, a report or two lines of error out, an exit code."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import tempfile
import traceback
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from app.db import errors
from app.db.report import Report, show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import URL

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are our own errors, with the nearest name."""

    def error(self, message: str) -> NoReturn:
        """Raises `BadInput` in place of argparse's exit."""
        known = [word for action in self._actions for word in action.option_strings]
        wrong = re.search(r"unrecognized arguments: (\S+)", message)
        near = get_close_matches(wrong[1], known, n=1) if wrong else []
        meant = f"; did you mean {near[0]}?" if near else ""
        raise errors.BadInput(
            message.replace("the following arguments are required:", "missing:") + meant, f"type {self.prog} --help"
        )


def parser(verb: str, description: str) -> Parser:
    """A parser with the options that every database command takes: `--dsn` and `--json`."""
    words = Parser(prog=f"./opentr.sh db {verb}", description=description, allow_abbrev=False)
    words.add_argument("--dsn", metavar="URL", help="the database, in place of the one from the settings")
    words.add_argument("--json", action="store_true", help="print data, not text")
    return words


def migrator_url(args: argparse.Namespace) -> URL:
    """The database that a command works on: `--dsn`, else the settings' direct way (role app_migrator)."""
    from app.core.config import settings
    from app.db.connect import parse_url

    return parse_url(settings.MIGRATOR_DATABASE_URL if args.dsn is None else args.dsn)


def confirmed(args: argparse.Namespace, deed: str) -> None:
    """Returns when the user agrees: by `--yes`, or at a terminal by typing yes. Raises `ConfirmationNeeded`."""
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise errors.ConfirmationNeeded(deed)
    sys.stderr.write(f"This will {deed}. Go on? [yes/no] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise errors.ConfirmationNeeded(deed)


def note(line: str) -> None:
    """Tells the user something beside the result, on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(words: Parser, act: Callable[[argparse.Namespace], Report]) -> NoReturn:
    """Runs a verb on the process's arguments and exits with its code. SIGTERM and SIGHUP end it as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    raise SystemExit(run(words, act, sys.argv[1:]))


def run(words: Parser, act: Callable[[argparse.Namespace], Report], argv: Sequence[str]) -> int:
    """Parses, acts, prints; returns the exit code. Every error ends here, in words."""
    as_json = "--json" in argv
    try:
        args = words.parse_args(argv)
        report = act(args)
        _show(report, as_json=args.json)
    except errors.DbError as error:
        return _say(error, as_json=as_json)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\ntype the same command again: it begins where the database stands\n")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the user gets words and the log gets the traceback
        return _say(_unexpected(error), as_json=as_json)
    return report.exit_code


def _show(report: Report, *, as_json: bool) -> None:
    try:
        show(report, as_json=as_json)
    except BrokenPipeError:  # the reader has seen enough (`| head`); the exit code still says what was found
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: errors.DbError, *, as_json: bool) -> int:
    from app.core.logging import redacted

    what, hint = redacted(error.what), redacted(error.hint)
    if as_json:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "what": what, "hint": hint}, indent=2) + "\n")
    sys.stderr.write(f"{what}\n{hint}\n")
    return error.exit_code


def _unexpected(error: Exception) -> errors.DbError:
    from app.core.logging import redacted

    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    try:
        with tempfile.NamedTemporaryFile("w", prefix="opentr-", suffix=".log", delete=False) as log:
            log.write(redacted("".join(traceback.format_exception(error))))
    except OSError as cause:
        return errors.DbError(f"unexpected: {reason}", f"its traceback could not be kept: {cause}")
    return errors.DbError(f"unexpected: {reason}", f"the details are in {log.name}")
