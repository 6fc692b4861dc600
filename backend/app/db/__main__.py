"""`python -m app.db VERB ...`, which `./opentr.sh db` runs. From here on Ctrl-C is two lines, no imports' traceback."""

from __future__ import annotations

import runpy
import sys

INTERRUPTED = 130  # as in app.db.command, whose import is one of those that take time


def main() -> None:
    """Runs `app.db.VERB` as the main program, with the rest of the words."""
    verb = sys.argv.pop(1)
    try:
        runpy.run_module(f"app.db.{verb}", run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\ntype the same command again: nothing had begun\n")
        raise SystemExit(INTERRUPTED) from None


main()
