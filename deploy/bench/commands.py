"""How long the tool itself takes: --help, and status beside docker compose ps."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bench.figures import Clock, take_turns
from bench.stackplace import run

if TYPE_CHECKING:
    from bench.stackplace import Place

ROUNDS = 15


def measure(place: Place) -> None:
    """Median times of commands that take turns."""
    clock = Clock()
    for turn in range(ROUNDS):
        take_turns(
            turn,
            lambda: _timed(clock, "./opentr.sh --help", [place.stack.command, "--help"]),
            lambda: _timed(clock, "python -c pass", [sys.executable, "-c", "pass"]),
        )
    place.add(
        f"The help, median of {ROUNDS}",
        ("command", "ms"),
        [[name, clock.median_ms(name)] for name in clock.seconds],
    )
    _status(place)


def _status(place: Place) -> None:
    clock = Clock()

    def status() -> None:
        with clock.time("./opentr.sh status"):
            place.stack.done("status")

    def ps() -> None:
        with clock.time("docker compose ps"):
            place.compose("ps")

    for turn in range(ROUNDS):
        take_turns(turn, status, ps)
    ratio = clock.paired_ratio("./opentr.sh status", "docker compose ps")
    place.add(
        f"The state of a running stack, median of {ROUNDS}; status takes {ratio:.2f} times as long",
        ("command", "ms"),
        [[name, clock.median_ms(name)] for name in clock.seconds],
    )


def _timed(clock: Clock, name: str, command: list[str]) -> None:
    with clock.time(name):
        run(command)
