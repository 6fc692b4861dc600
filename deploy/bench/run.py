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
from typing import TYPE_CHECKING, Any, TypeVar

from app.db.report import Report, show
from bench import backups, commands, deploys, pooling, resets
from bench.stackplace import own_prod, own_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.stackplace import Place, ProdPlace

Where = TypeVar("Where", bound="Place")

PARTS: dict[str, Callable[[Place], None]] = {
    "start": resets.start,
    "commands": commands.measure,
    "reset": resets.measure,
    "pool": pooling.measure,
}

PROD_PARTS: dict[str, Callable[[ProdPlace], None]] = {
    "fill": backups.fill,
    "backup": backups.measure,
    "deploy": deploys.measure,
}


def main() -> None:
    """Measures the parts that are asked for and prints each when it is done. `start` and `fill` come before others."""
    words = argparse.ArgumentParser(prog="deploy/bench/run.py", description=__doc__)
    names = [*PARTS, *PROD_PARTS]
    words.add_argument("--only", choices=names, nargs="+", default=names, help="parts, in place of all")
    words.add_argument("--gigabytes", type=float, default=2.0, help="sample data of prod (default: %(default)g)")
    words.add_argument("--json", action="store_true", help="print data, not text")
    args = words.parse_args()
    began = time.monotonic()
    data: dict[str, Any] = {"processors": os.cpu_count()}
    if {*PARTS} & {*args.only}:
        with own_stack() as place:
            for name in [part for part in PARTS if part in {"start", *args.only}]:
                data[name] = _measured(name, PARTS[name], place, as_json=args.json)
    if {*PROD_PARTS} & {*args.only}:
        with own_prod(args.gigabytes) as prod:
            for name in [part for part in PROD_PARTS if part in {"fill", *args.only}]:
                data[name] = _measured(name, PROD_PARTS[name], prod, as_json=args.json)
    data["seconds"] = round(time.monotonic() - began, 1)
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if args.json else f"{data['seconds']:.0f} s in all\n")


def _measured(name: str, part: Callable[[Where], None], place: Where, *, as_json: bool) -> list[dict[str, Any]]:
    """Runs the part; shows its tables, and returns them as data."""
    sys.stderr.write(f"measuring: {name}\n")
    part(place)
    tables = place.take()
    if not as_json:
        show(Report(None, tables), as_json=False)
    return [
        {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
        for table in tables
    ]


if __name__ == "__main__":
    main()
