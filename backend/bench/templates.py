"""How long a test waits for its database."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from app.db import binaries, scratch
from bench.figures import Clock
from tests.servers import HEAD, Servers

if TYPE_CHECKING:
    from bench.figures import Bench

ROUNDS = 15


def measure(bench: Bench) -> None:
    """A clone of the template alone, and as the fixture `database` makes it (with the grants on it), then dropped."""
    clock = Clock()
    major = binaries.version_of(scratch.find_server() / "postgres")[0]
    with ExitStack() as stack:
        server = Servers(stack).with_head(major)
        for _ in range(ROUNDS):
            with clock.time("clone alone"), scratch.scratch_database(server.url, HEAD):
                pass
            with ExitStack() as database:
                with clock.time("fixture: clone and grants"):
                    database.enter_context(server.clone(HEAD))
                clock.seconds.setdefault("fixture: drop", [])
                with clock.time("fixture: drop"):
                    database.close()
    rows = [(name, clock.median_ms(name), clock.percentile_ms(name, 95)) for name in clock.seconds]
    bench.add("A test database from the template (goal: 100 ms)", ("what", "median ms", "p95 ms"), rows)
