"""The logs of local services: files of lines, each with the time at which it came; read merged, and followed.

A file that has become large is renamed (api -> api.1 -> api.2 ...); whoever follows reads the old one to its end first.
"""

from __future__ import annotations

import heapq
import os
import time
from collections import deque
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING

from opentr.runtimes.base import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from opentr.runtimes.base import LogQuery

_LOOK_SECONDS = 0.1


def lines(folder: Path, services: Sequence[str], query: LogQuery) -> Iterator[LogLine]:
    """See Runtime.logs; `services` are those that may have a log."""
    with ExitStack() as stack:
        names = [name for name in services if not query.services or name in query.services]
        files = [stack.enter_context(closing(_File(folder / name))) for name in names]
        yield from heapq.merge(*(_wanted(each.kept(query.since), query) for each in files), key=_time)
        while query.follow:
            time.sleep(_LOOK_SECONDS)
            yield from sorted((line for each in files for line in each.more()), key=_time)


def last(folder: Path, service: str, count: int, since: datetime) -> list[str]:
    """The newest lines that a service has written since then, without their times."""
    with closing(_File(folder / service)) as file:
        return [line.text for line in deque((each for each in file.more() if each.time >= since), count)]


def _wanted(found: Iterator[LogLine], query: LogQuery) -> Iterable[LogLine]:
    newer = (line for line in found if query.since is None or line.time >= query.since)
    return newer if query.tail is None else deque(newer, query.tail)


def _time(line: LogLine) -> datetime:
    return line.time


class _File:
    """A service's log, read up to where we are."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._open: IO[bytes] | None = None
        self._begun = b""
        """of a line whose end isn't there yet"""

    def kept(self, since: datetime | None) -> Iterator[LogLine]:
        """All that is kept, but for whole files that are older."""
        self._begin()  # so that none is missed that is renamed meanwhile
        for each in reversed(self._older()):
            with suppress(FileNotFoundError), each.open("rb") as file:
                newer = since is None or os.fstat(file.fileno()).st_mtime >= since.timestamp()
                if newer and not (self._open and os.path.sameopenfile(file.fileno(), self._open.fileno())):
                    yield from self._parsed(file)
        yield from self.more()

    def more(self) -> Iterator[LogLine]:
        """What has been written since; at first all of the newest file."""
        yield from self._rest()
        while self._was_renamed():
            yield from self._rest()  # of the old one, which nobody writes to any more
            self._turn_to_next()
            yield from self._rest()

    def close(self) -> None:
        """Let go of the file."""
        if self._open:
            self._open.close()
            self._open = None

    def _begin(self) -> None:
        with suppress(FileNotFoundError):
            self._open = self._open or self._place.open("rb")

    def _rest(self) -> Iterator[LogLine]:
        self._begin()
        if self._open:
            yield from self._parsed(self._open)

    def _older(self) -> list[Path]:
        """What has been renamed, the newest first."""
        return sorted(self._place.parent.glob(f"{self._place.name}.[0-9]*"), key=_age)

    def _turn_to_next(self) -> None:
        """Open the file that was begun after ours; the oldest that is kept where ours was dropped. Others rename on."""
        assert self._open is not None  # noqa: S101 - it was renamed
        ours, found = os.fstat(self._open.fileno()).st_ino, None
        while found is None:
            with suppress(FileNotFoundError):
                files = [self._place, *self._older()]
                inodes = [each.stat().st_ino for each in files]
                next_one = inodes.index(ours) - 1 if ours in inodes else -1
                found = files[next_one].open("rb")
                if os.fstat(found.fileno()).st_ino != inodes[next_one]:
                    found.close()
                    found = None
        self.close()
        self._open = found

    def _was_renamed(self) -> bool:
        try:
            return self._open is not None and os.fstat(self._open.fileno()).st_ino != self._place.stat().st_ino
        except FileNotFoundError:
            return False

    def _parsed(self, file: IO[bytes]) -> Iterator[LogLine]:
        for part in file:
            self._begun += part
            if self._begun.endswith(b"\n"):
                whole, self._begun = self._begun[:-1], b""
                yield _line(self._place.name, whole)


def _line(service: str, line: bytes) -> LogLine:
    stamp, _, text = line.decode(errors="replace").partition(" ")
    return LogLine(service, _instant(stamp), text)


def _instant(stamp: str) -> datetime:
    """2026-11-23T04:31:24.123456789Z, to the microsecond."""
    try:
        return datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC)
    except ValueError:  # a disk that was full has cut it off
        return datetime.fromtimestamp(0, UTC)


def _age(place: Path) -> int:
    return int(place.suffix[1:])
