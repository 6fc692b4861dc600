"""How long a reset takes: from nothing running, and warm beside what one would type without the tool."""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING

from bench.client import Client
from bench.figures import Clock
from bench.stackplace import INIT_DB

if TYPE_CHECKING:
    from bench.stackplace import Place

ROUNDS = 4
BARE_ROUNDS = 2
WARM = "./opentr.sh reset dev"
ASKED = f"{WARM}, while a client keeps asking"
BARE = "down -v; up -d --wait; init_db.sql"
SAMPLE = ("sample", "dev", "--users", "5", "--files", "200")


def start(place: Place) -> None:
    """From built images and nothing running to a healthy stack with an empty schema."""
    clock = Clock()
    with clock.time(WARM):
        place.stack.done("reset", "dev")
    place.add("From built images and nothing running", ("command", "seconds"), [[WARM, clock.total(WARM)]])


def measure(place: Place) -> None:
    """Warm resets of a stack with sample data, alone and while a client keeps asking; then what they save."""
    clock = Clock()
    clients = []
    for _ in range(ROUNDS):
        _warm(place, clock, WARM)
        with Client(place.stack) as client:
            _warm(place, clock, ASKED)
        clients.append(client)
    for _ in range(BARE_ROUNDS):
        with clock.time(BARE):
            _bare(place)
    place.stack.done("reset", "dev", "--hard", "--yes")
    _show_times(place, clock)
    _show_clients(place, clients)


def _warm(place: Place, clock: Clock, name: str) -> None:
    place.stack.done(*SAMPLE)
    with clock.time(name):
        place.stack.done("reset", "dev")


def _show_times(place: Place, clock: Clock) -> None:
    median = {name: statistics.median(seconds) for name, seconds in clock.seconds.items()}
    place.add(
        f"A reset of a running stack with sample data, median; warm is {median[BARE] / median[WARM]:.1f} times as fast",
        ("way", "rounds", "seconds", "slowest"),
        [[name, len(seconds), median[name], max(seconds)] for name, seconds in clock.seconds.items()],
    )


def _show_clients(place: Place, clients: list[Client]) -> None:
    failures = [failure for client in clients for failure in client.failures]
    longest = [max(client.waits) for client in clients]
    place.add(
        "A client that keeps asking GET /api/files meanwhile",
        ("requests", "failed", "longest wait, s", "median of the rounds' longest, s"),
        [[sum(len(client.waits) for client in clients), len(failures), max(longest), statistics.median(longest)]],
    )
    if failures:
        sys.stderr.write("".join(f"failed: {failure}\n" for failure in dict.fromkeys(failures)))


def _bare(place: Place) -> None:
    """With the same images. The API is healthy only when there are tables, so they come before it."""
    place.compose("--profile", "app", "down", "--volumes")
    place.compose("--profile", "infra", "up", "--detach", "--wait")
    sql = (place.stack.checkout / INIT_DB).read_text(encoding="utf-8")
    psql = [
        "psql",
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-U",
        "postgres",
        "-d",
        "opentranscribe",
        "--single-transaction",
    ]
    place.compose("exec", "--no-TTY", "postgres", *psql, "-f", "-", stdin="SET ROLE app_owner;\n" + sql)
    place.compose("--profile", "app", "up", "--detach", "--wait")
