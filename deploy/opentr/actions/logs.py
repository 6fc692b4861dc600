"""The log of an environment: which entries are wanted, read, filtered, and without secrets."""

from __future__ import annotations

import queue
import re
import threading
from collections import Counter, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opentr import credentials
from opentr.actions import logtimes, services
from opentr.actions.environment import opened
from opentr.actions.logentries import Assembler
from opentr.actions.logtext import LEVELS
from opentr.errors.services import LogQueryInvalid, NothingLogged
from opentr.redaction import Redactor
from opentr.runtimes.base import LogQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentr.actions.environment import Environment
    from opentr.actions.logentries import Entry
    from opentr.runtimes.base import LogLine, Runtime

FOLLOW_FROM = 100
"""Entries that --follow begins with where neither --tail nor --since says otherwise."""
_IDLE_SECONDS = 0.2
"""How long a followed log must be silent until an entry counts as complete."""
_LEAST_LINES = 200
_GROWTH = 8
_OVERLAP = timedelta(seconds=10)
_UNREAD_LINES = 1000


@dataclass(frozen=True)
class Wanted:
    """What is asked for, as it was typed."""

    services: tuple[str, ...] = ()
    since: str | None = None
    grep: str | None = None
    level: str | None = None
    tail: int | None = None
    follow: bool = False


def entries(name: str, wanted: Wanted, runtime: str | None = None) -> Iterator[Entry]:
    """The wanted entries of dev or prod, oldest first; with `follow` until the caller stops.

    Raises as `environment.opened`; ServiceUnknown, PoolAbsent, LogQueryInvalid, and NothingLogged where there is no
    container, or process, that could have logged anything.
    """
    names = services.named(name, wanted.services)
    since = logtimes.since(wanted.since, datetime.now(UTC)) if wanted.since is not None else None
    matching = pattern(wanted.grep) if wanted.grep is not None else None
    with opened(name, command="logs", changes=False, runtime=runtime) as environment:
        services.refuse_absent(environment, names)
        keep = Filter(wanted.level, matching, Redactor(credentials.ensure(environment.state).values()))
        _refuse_nothing(environment, names)
        yield from _read(environment.runtime, LogQuery(names, since=since), wanted, keep)


def _read(runtime: Runtime, query: LogQuery, wanted: Wanted, keep: Filter) -> Iterator[Entry]:
    if wanted.follow:
        begin = FOLLOW_FROM if wanted.tail is None and query.since is None else wanted.tail
        return _followed(runtime, query, begin, keep)
    if wanted.tail is None:
        return keep.apply(assembled(runtime.logs(query)))
    return iter(newest(runtime, query, wanted.tail, keep))


def _refuse_nothing(environment: Environment, names: tuple[str, ...]) -> None:
    """Raises NothingLogged if none of these services, all by default, was ever started."""
    there = {each.service for each in environment.runtime.services() if each.state != "missing"}
    if not there & set(names or there):
        raise NothingLogged(environment.settings.project, environment.name, names, environment.words.service)


def pattern(text: str) -> re.Pattern[str]:
    """The regular expression. Raises LogQueryInvalid."""
    try:
        return re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise LogQueryInvalid(
            f"--grep {text} is no regular expression: {error}", "put a backslash before signs meant as such"
        ) from error


class Filter:
    """Which entries are shown: from a level up, with a match anywhere in their text; secrets blotted out first."""

    def __init__(self, level: str | None, matching: re.Pattern[str] | None, redactor: Redactor) -> None:
        self._redactor = redactor
        self._least = LEVELS.index(level) if level else 0
        self._pattern = matching
        self._kept: dict[str, bool] = {}

    def apply(self, found: Iterable[Entry]) -> Iterator[Entry]:
        """The entries that are shown, as they are shown."""
        for entry in found:
            if shown := self.shown(entry):
                yield shown

    def shown(self, entry: Entry) -> Entry | None:
        """The entry without secrets; None if it isn't wanted. What came late goes the way of its entry."""
        if entry.late and self._kept.get(entry.service):
            return self._without_secrets(entry)
        result = None
        if LEVELS.index(entry.level or "info") >= self._least:
            clean = self._without_secrets(entry)
            result = clean if self._fits(clean) else None
        self._kept[entry.service] = result is not None
        return result

    def _fits(self, entry: Entry) -> bool:
        """The message alone counts too: `refused$` is found, whatever fields are shown behind it."""
        return not self._pattern or bool(self._pattern.search(entry.message) or self._pattern.search(entry.text()))

    def _without_secrets(self, entry: Entry) -> Entry:
        return replace(entry, message=self._redactor.text(entry.message), fields=self._redactor.fields(entry.fields))


def assembled(lines: Iterable[LogLine]) -> Iterator[Entry]:
    """The entries that these lines are."""
    assembler = Assembler()
    for line in lines:
        yield from assembler.feed(line)
    yield from assembler.flush()


# The newest entries.


class _Window:
    """The newest so many lines of each service, on their way into entries."""

    def __init__(self, runtime: Runtime, query: LogQuery) -> None:
        self._runtime = runtime
        self._query = query
        self._counts: Counter[str] = Counter()
        self._begins: dict[str, datetime] = {}
        self.recent: deque[LogLine] = deque()
        """the lines of the last seconds"""

    def lines(self) -> Iterator[LogLine]:
        """The lines, remembered as far as is needed later."""
        for line in self._runtime.logs(self._query):
            self._counts[line.service] += 1
            self._begins.setdefault(line.service, line.time)
            self.recent.append(line)
            while line.time - self.recent[0].time > _OVERLAP:
                self.recent.popleft()
            yield line

    def complete_from(self) -> datetime | None:
        """Since when no line of any service is left out; None: nothing is."""
        cut = [self._begins[name] for name, count in self._counts.items() if count >= (self._query.tail or 0)]
        return max(cut, default=None) if self._query.tail is not None else None


def newest(runtime: Runtime, query: LogQuery, count: int, keep: Filter) -> list[Entry]:
    """The newest `count` entries that are wanted, oldest first."""
    return _newest(runtime, query, count, keep)[0]


def _newest(runtime: Runtime, query: LogQuery, count: int, keep: Filter) -> tuple[list[Entry], deque[LogLine]]:
    """As `newest`, and the lines of the last seconds.

    Reads the end of each service's log, and more and more of it until so many entries are found.
    """
    lines: int | None = max(_LEAST_LINES, 4 * count)
    while True:
        window = _Window(runtime, replace(query, tail=lines))
        found = deque(keep.apply(assembled(window.lines())), maxlen=count)
        begin = window.complete_from()
        # At its begin a window may have cut through an entry.
        whole = [entry for entry in found if begin is None or entry.time > begin]
        if begin is None or len(whole) == count or lines is None:
            return whole, window.recent
        lines = lines * _GROWTH if lines < _LEAST_LINES * _GROWTH**4 else None


# Following.


def _followed(runtime: Runtime, query: LogQuery, tail: int | None, keep: Filter) -> Iterator[Entry]:
    """The entries that there are, or the newest of them, and those that come."""
    seen: Counter[LogLine] = Counter()
    if tail is not None:
        found, recent = _newest(runtime, query, tail, keep)
        yield from found
        seen.update(recent)
        since = recent[0].time if recent else query.since
        query = replace(query, since=since)
    yield from keep.apply(_as_they_come(runtime, replace(query, follow=True), seen))


def _as_they_come(runtime: Runtime, query: LogQuery, seen: Counter[LogLine]) -> Iterator[Entry]:
    """The entries of a followed log without the lines in `seen`; silence for a while completes an entry."""
    assembler = Assembler()
    arriving = _Reader(runtime, query)
    while True:
        line = arriving.next(None if assembler.empty else _IDLE_SECONDS)
        if line is None:
            yield from assembler.flush()
        elif seen[line] > 0:
            seen[line] -= 1
        else:
            yield from assembler.feed(line)


class _Reader:
    """Reads the lines in a thread of its own, so that waiting for one can end."""

    def __init__(self, runtime: Runtime, query: LogQuery) -> None:
        self._lines: queue.Queue[LogLine | BaseException] = queue.Queue(_UNREAD_LINES)
        threading.Thread(target=self._read, args=(runtime, query), daemon=True).start()

    def _read(self, runtime: Runtime, query: LogQuery) -> None:
        try:
            for line in runtime.logs(query):
                self._lines.put(line)
        except BaseException as error:  # noqa: BLE001 - goes on in the thread that waits
            self._lines.put(error)

    def next(self, seconds: float | None) -> LogLine | None:
        """The next line; None if none came for so long. Raises what reading raised."""
        try:
            found = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found
