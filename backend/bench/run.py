"""`make bench`: the figures of backend/app/db/README.md on this machine, each beside what it is compared with.

Nothing is asserted: a ratio is what can be compared between machines, and the times stand beside it. The servers are
our own and as durable as in production (fsync and so on), except for the one that makes test databases.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from app.db.report import Report, show
from bench import listing, loading, pools, requesting, searching, templates, transcribing, uploading
from bench.figures import Bench
from bench.places import durable_server

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Callable[[Bench], None]] = {
    "templates": templates.measure,
    "loading": loading.measure,
    "searching": searching.measure,
    "listing": listing.measure,
    "pools": pools.measure,
    "requesting": requesting.measure,
    "transcribing": transcribing.measure,
    "uploading": uploading.measure,
}


def main() -> None:
    """Measures the parts that are asked for and prints each when it is done."""
    words = argparse.ArgumentParser(prog="make bench", description=__doc__)
    words.add_argument("--segments", type=int, default=1_000_000, help="segments to load (default: %(default)s)")
    words.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS), help="parts, in place of all")
    words.add_argument("--json", action="store_true", help="print data, not text")
    args = words.parse_args()
    started = time.monotonic()
    data: dict[str, Any] = {"processors": os.cpu_count(), "segments": args.segments}
    with ExitStack() as stack:
        bench = Bench(stack.enter_context(durable_server()), args.segments, stack)
        for name in [part for part in PARTS if part in args.only]:
            sys.stderr.write(f"measuring: {name}\n")
            PARTS[name](bench)
            data[name] = bench.take()
            if not args.json:
                show(Report(None, bench.shown()), as_json=False)
    data["seconds"] = round(time.monotonic() - started, 1)
    sys.stdout.write(json.dumps(data, indent=2) + "\n" if args.json else f"{data['seconds']:.0f} s in all\n")


if __name__ == "__main__":
    main()
