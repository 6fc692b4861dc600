"""The log of several containers as one, by time; following goes on when a container is restarted or made anew."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from opentr.containers import instant
from opentr.errors import OpentrError
from opentr.errors.engine import EngineRefused
from opentr.runtimes.base import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from opentr.containers import Container, Engine, Event, LogFrame, Stream
    from opentr.runtimes.base import LogQuery

LONGEST_LINE = 1 << 20
"""Characters; what is longer becomes several lines."""
_WINDOW_SECONDS = 0.1
"""How long a line that was just written waits for one of another service that is older."""
_WAITING_LINES = 10_000


class Entry:
    """A line with its place in the order: the engine's time stamp in full."""

    def __init__(self, stamp: str, service: str, text: str) -> None:
        self.stamp, self.service, self.text = stamp, service, text

    def __lt__(self, other: Entry) -> bool:
        return self.stamp < other.stamp

    def line(self) -> LogLine:
        """As others see it."""
        return LogLine(self.service, instant(self.stamp), self.text)


def lines(engine: Engine, project: str, query: LogQuery) -> Iterator[LogLine]:
    """See Runtime.logs."""
    if not query.follow:
        yield from (entry.line() for _, entry in _written(engine, _wanted(engine, project, query), query))
        return
    with closing(_Follower(engine, project, query)) as follower:
        yield from follower.lines()


def _wanted(engine: Engine, project: str, query: LogQuery) -> list[Container]:
    return [each for each in engine.containers(project) if _is_wanted(each, query)]


def _is_wanted(container: Container, query: LogQuery) -> bool:
    return not container.oneoff and (not query.services or container.service in query.services)


def _written(engine: Engine, containers: Iterable[Container], query: LogQuery) -> Iterator[tuple[str, Entry]]:
    """What the containers have written up to now, merged; with each entry the id of its container."""
    with ExitStack() as stack:
        parts = []
        for each in containers:
            if stream := _opened(engine, each, since=query.since, tail=query.tail, follow=False):
                stack.enter_context(closing(stream))
                parts.append(_named(each.id, _joined(each.service, stream)))
        yield from heapq.merge(*parts, key=lambda found: found[1])


def _opened(
    engine: Engine, container: Container, *, since: datetime | None, tail: int | None, follow: bool
) -> Stream[LogFrame] | None:
    """The container's log; None if it has just been removed."""
    try:
        return engine.logs(container.id, since=since, tail=tail, follow=follow)
    except EngineRefused:
        if engine.container(container.id):
            raise
        return None


def _named(name: str, entries: Iterator[Entry]) -> Iterator[tuple[str, Entry]]:
    return ((name, entry) for entry in entries)


def _joined(service: str, frames: Iterable[LogFrame]) -> Iterator[Entry]:
    """Frames become lines; the time of a line is that of its first part."""
    stamp, parts, length = "", list[str](), 0
    for frame in frames:
        stamp = stamp or frame.stamp
        parts.append(frame.text)
        length += len(frame.text)
        if frame.complete or length >= LONGEST_LINE:
            yield Entry(stamp, service, "".join(parts))
            stamp, parts, length = "", [], 0
    if parts:
        yield Entry(stamp, service, "".join(parts))


class _Follower:
    """A thread for each container reads its log, one more hears what happens to containers; this one decides.

    A log ends when its container does. When it is started again we take up the log after the last line that we have
    seen; a new container's is read from its first line on.
    """

    def __init__(self, engine: Engine, project: str, query: LogQuery) -> None:
        self._engine = engine
        self._project = project
        self._query = query
        self._items: queue.Queue[tuple[str, Entry | Event | OpentrError | None]] = queue.Queue(_WAITING_LINES)
        self._closed = threading.Event()
        self._seen: dict[str, str] = {}
        """the stamp of the last line, by container"""
        self._streams: dict[str, Stream[LogFrame]] = {}
        self._again: set[str] = set()
        """containers that were started while the log of their last run was still being read"""
        self._events = engine.events(project)

    def close(self) -> None:
        """End all threads' waiting."""
        self._closed.set()
        self._events.close()
        for stream in self._streams.values():
            stream.close()

    def lines(self) -> Iterator[LogLine]:
        """The lines that there are, then those that come."""
        self._read("", self._events)
        there = _wanted(self._engine, self._project, self._query)
        none_wanted = self._query.tail == 0  # the last one is looked at all the same: it tells where new ones begin
        query = replace(self._query, tail=1) if none_wanted else self._query
        for container, entry in _written(self._engine, there, query):
            self._seen[container] = entry.stamp
            if not none_wanted:
                yield entry.line()
        for each in there:
            self._attach(each)
        yield from self._coming()

    def _coming(self) -> Iterator[LogLine]:
        held: list[tuple[Entry, float]] = []
        while True:
            for name, item in self._arrived(wait=_WINDOW_SECONDS if held else None):
                if isinstance(item, Entry):
                    self._seen[name] = item.stamp
                    heapq.heappush(held, (item, time.monotonic()))
                else:
                    self._changed(name, item)
            ripe = time.monotonic() - _WINDOW_SECONDS
            while held and (held[0][1] <= ripe or len(held) > _WAITING_LINES):
                yield heapq.heappop(held)[0].line()

    def _arrived(self, wait: float | None) -> list[tuple[str, Entry | Event | OpentrError | None]]:
        """What has arrived meanwhile; waits for it, not longer than `wait` seconds."""
        try:
            found = [self._items.get(timeout=wait)]
        except queue.Empty:
            return []
        while len(found) < _WAITING_LINES and not self._items.empty():
            found.append(self._items.get())
        return found

    def _changed(self, name: str, item: Event | OpentrError | None) -> None:
        """A container was started, or a stream has ended. Raises what the stream's thread has caught."""
        if isinstance(item, OpentrError):
            raise item
        if item:
            self._started(item)
        elif name:
            self._ended(name)
        else:  # the engine itself was restarted, or doesn't answer, which this raises
            self._events = self._engine.events(self._project)
            self._read("", self._events)

    def _started(self, event: Event) -> None:
        if event.action != "start":
            return
        if event.container in self._streams:
            self._again.add(event.container)
            return
        container = self._engine.container(event.container)
        if container and _is_wanted(container, self._query):
            self._attach(container)

    def _ended(self, name: str) -> None:
        self._streams.pop(name).close()
        container = self._engine.container(name)
        if container and (name in self._again or container.state == "running"):
            self._again.discard(name)
            self._attach(container)

    def _attach(self, container: Container) -> None:
        """Read what comes after the last line that was seen; without one, all that is wanted."""
        last = self._seen.get(container.id)
        # a little earlier: the engine is asked with the precision of a float, and what was seen is left out
        since = instant(last) - timedelta(milliseconds=1) if last else self._query.since
        if stream := _opened(self._engine, container, since=since, tail=None, follow=True):
            self._streams[container.id] = stream
            new = (entry for entry in _joined(container.service, stream) if not last or entry.stamp > last)
            self._read(container.id, new)

    def _read(self, name: str, items: Iterable[Entry | Event]) -> None:
        def read() -> None:
            end: OpentrError | None = None
            try:
                for item in items:
                    self._put(name, item)
            except OpentrError as error:
                end = error
            self._put(name, end)

        threading.Thread(target=read, daemon=True, name=f"log {name[:12]}").start()

    def _put(self, name: str, item: Entry | Event | OpentrError | None) -> None:
        while not self._closed.is_set():
            with suppress(queue.Full):
                self._items.put((name, item), timeout=1)
                return
