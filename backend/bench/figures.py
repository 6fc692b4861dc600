"""What is measured, and how it is shown."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.db.report import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

    from sqlalchemy import URL

    from tests.servers import Server


@dataclass
class Bench:
    """The server to measure on, the size, and the tables that are ready to be shown.

    `stack` keeps what later parts use: `loaded` is the database that the loading part has filled.
    """

    server: Server
    segments: int
    stack: ExitStack
    loaded: URL | None = None
    _tables: list[Table] = field(default_factory=list)
    _shown: list[Table] = field(default_factory=list)

    def add(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """One table of results."""
        self._tables.append(Table(title, columns, rows))

    def take(self) -> list[dict[str, Any]]:
        """The tables since the last call as data; `shown()` has them as they are."""
        self._shown, self._tables = self._tables, []
        return [
            {"title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows]}
            for table in self._shown
        ]

    def shown(self) -> list[Table]:
        """What `take` took."""
        return self._shown


class Clock:
    """Times of several things that take turns, in seconds, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Measures what stands below."""
        started = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def total(self, name: str) -> float:
        """Seconds of all turns."""
        return sum(self.seconds[name])

    def median_ms(self, name: str) -> float:
        """Milliseconds of the median turn."""
        return statistics.median(self.seconds[name]) * 1000

    def percentile_ms(self, name: str, percent: int) -> float:
        """Milliseconds that so many of a hundred turns stay below."""
        return statistics.quantiles(self.seconds[name], n=100, method="inclusive")[percent - 1] * 1000

    def paired_ratio(self, above: str, below: str) -> float:
        """The median of the ratios turn by turn, which a slow moment of the machine doesn't move."""
        return statistics.median(a / b for a, b in zip(self.seconds[above], self.seconds[below], strict=True))


def take_turns(turn: int, *actions: Callable[[], None]) -> None:
    """Runs the actions, in the other direction every other turn, so that none always comes first."""
    for action in actions if turn % 2 == 0 else actions[::-1]:
        action()
