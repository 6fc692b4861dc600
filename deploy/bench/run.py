"""`make bench`, second part: the figures of the stack in containers, each beside what it is compared with.

Nothing is asserted: a ratio is what can be compared between machines, and the times stand beside it. The stack is one
of its own, with the settings that a new user has.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from app.db.report import Report, show
from bench import commands, pooling, resets
from bench.stackplace import own_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.stackplace import Place

PARTS: dict[str, Callable[[Place], None]] = {
    "start": resets.start,
    "commands": commands.measure,
    "reset": resets.measure,
    "pool": pooling.measure,
}


def main() -> None:
    """Measures the parts that are asked for and prints each when it is done. `start` is always one of them."""
    words = argparse.ArgumentParser(prog="deploy/bench/run.py", description=__doc__)
    words.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts, in place of all")
    words.add_argument("--json", action="store_true", help="print data, not text")
    args = words.parse_args()
    began = time.monotonic()
    data: dict[str, Any] = {"processors": os.cpu_count()}
    with own_stack() as place:
        for name in [part for part in PARTS if part in {"start", *args.only}]:
            sys.stderr.write(f"measuring: {name}\n")
            PARTS[name](place)
            tables = place.take()
            data[name] = [
                {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
                for table in tables
            ]
            if not args.json:
                show(Report(None, tables), as_json=False)
    data["seconds"] = round(time.monotonic() - began, 1)
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if args.json else f"{data['seconds']:.0f} s in all\n")


if __name__ == "__main__":
    main()
