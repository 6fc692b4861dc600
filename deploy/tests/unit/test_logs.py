from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentr.actions import logs, logtext, logtimes
from opentr.actions.logentries import LINGER, MOST_LINES, Entry
from opentr.actions.logs import Filter, assembled, pattern
from opentr.actions.logtext import LEVELS, Head, More, clean, parse
from opentr.cli import loglines
from opentr.errors import ExitCode
from opentr.errors.services import LogQueryInvalid
from opentr.redaction import REDACTED, Redactor
from opentr.runtimes.base import LogLine, LogQuery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

START = datetime(2026, 11, 22, 19, 31, tzinfo=UTC)

# Written by PostgreSQL 17, PgBouncer 1.24, Redis 8, HAProxy 3, uvicorn, Celery and our own app, in their containers.
PG = "2026-11-22 19:31:05.453 UTC [5590] app_rw@opentranscribe/opentr-api 172.18.0.4 "
POSTGRES = [
    "2026-11-22 19:31:05.041 UTC [1] LOG:  starting PostgreSQL 17.11 (Debian 17.11-0+deb13u1) on x86_64-pc-linux-gnu",
    "2026-11-22 19:31:05.058 UTC [5493] postgres@postgres/[unknown] [local] FATAL:  the database system is starting up",
    PG + 'ERROR:  column "nope" does not exist at character 8',
    PG + "STATEMENT:  select nope,",
    "\t   'two",
    "\tlines';",
    PG + "WARNING:  careful",
    "\tsecond line",
    PG + "DETAIL:  d1",
    PG + "HINT:  h1",
    PG + "CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE",
    PG + "LOG:  duration: 13.497 ms  statement: select pg_sleep(0.01),",
    "\t   'two ERROR:  lines';",
    "2026-11-22 19:31:05.536 UTC [1] LOG:  background writer process (PID 5491) was terminated by signal 9: Killed",
]
PYTHON = [
    "ERROR:    Exception in ASGI application",
    "Traceback (most recent call last):",
    '  File "/srv/backend/app/x.py", line 2, in app',
    '    if scope["type"]=="http": 1/0',
    "                              ~^~",
    "ZeroDivisionError: division by zero",
    "",
    "The above exception was the direct cause of the following exception:",
    "",
    "Traceback (most recent call last):",
    '  File "/srv/backend/app/y.py", line 3, in app',
    "RuntimeError: no",
    'INFO:     127.0.0.1:45926 - "GET /x HTTP/1.1" 500 Internal Server Error',
]


def lines(service: str, texts: Iterable[str], *, at: datetime = START, step: float = 0.001) -> list[LogLine]:
    return [LogLine(service, at + timedelta(seconds=step * number), text) for number, text in enumerate(texts)]


def messages(found: Iterable[Entry]) -> list[tuple[str | None, str]]:
    return [(entry.level, entry.message) for entry in found]


def keeping(level: str | None = None, grep: str | None = None, secrets: Iterable[str] = ()) -> Filter:
    return Filter(level, pattern(grep) if grep is not None else None, Redactor(secrets))


def kept(keep: Filter, given_lines: Iterable[LogLine]) -> list[Entry]:
    return list(keep.apply(assembled(given_lines)))


# Levels and messages


@pytest.mark.parametrize(
    ("service", "text", "level", "message"),
    [
        ("postgres", POSTGRES[0], "info", POSTGRES[0].partition(":  ")[2]),
        ("postgres", POSTGRES[1], "error", "the database system is starting up"),
        ("postgres", POSTGRES[2], "error", 'column "nope" does not exist at character 8'),
        ("postgres", PG + "PANIC:  could not write to file", "critical", "could not write to file"),
        ("postgres", PG + "DEBUG2:  x", "debug", "x"),
        ("postgres", "initdb: creating template1 ... ok", None, "initdb: creating template1 ... ok"),
        ("postgres", "sh: 1: postgres: not found", "error", "sh: 1: postgres: not found"),
        (
            "pgbouncer",
            "2026-11-22 19:30:16.085 UTC [1] LOG process up: PgBouncer 1.24.1",
            "info",
            "process up: PgBouncer 1.24.1",
        ),
        (
            "pgbouncer",
            "2026-11-22 19:30:17.114 UTC [1] WARNING C-0x55a: (nodb)/(nouser)@127.0.0.1:59256 pooler error: no",
            "warning",
            "C-0x55a: (nodb)/(nouser)@127.0.0.1:59256 pooler error: no",
        ),
        (
            "pgbouncer",
            "2026-11-22 19:30:17.114 UTC [1] FATAL cannot load config file",
            "critical",
            "cannot load config file",
        ),
        (
            "redis",
            "1:M 22 Nov 2026 19:44:11.880 * Ready to accept connections tcp",
            "info",
            "Ready to accept connections tcp",
        ),
        ("redis", "1:C 22 Nov 2026 19:44:11.864 # WARNING Memory overcommit", "warning", "WARNING Memory overcommit"),
        ("redis", "1:M 22 Nov 2026 19:44:11.880 . 0 clients connected", "debug", "0 clients connected"),
        ("redis", "1:M 22 Nov 2026 19:44:13.911 - Accepted 127.0.0.1:55946", "debug", "Accepted 127.0.0.1:55946"),
        ("redis", "1:signal-handler (1795376653) Received SIGTERM", "info", "Received SIGTERM"),
        (
            "redis",
            "*** FATAL CONFIG FILE ERROR (Redis 8.0.2) ***",
            "error",
            "*** FATAL CONFIG FILE ERROR (Redis 8.0.2) ***",
        ),
        ("proxy", "<1>Server api/api1 is DOWN, reason: x", "critical", "Server api/api1 is DOWN, reason: x"),
        (
            "proxy",
            "[ALERT]    (1) : backend 'api' has no server available!",
            "critical",
            "backend 'api' has no server available!",
        ),
        ("proxy", "[NOTICE]   (1) : haproxy version is 3.0.11", "info", "haproxy version is 3.0.11"),
        ("proxy", '<6>{"message": "GET /api/files", "status": 200, "ms": 3}', "info", "GET /api/files"),
        ("proxy", '<6>{"message": "GET /api/files", "status": 503, "ms": 0}', "error", "GET /api/files"),
        (
            "api",
            '{"event": "slow statement", "level": "warning", "timestamp": "x", "ms": 5}',
            "warning",
            "slow statement",
        ),
        (
            "api",
            'INFO:     127.0.0.1:45926 - "GET /x HTTP/1.1" 200 OK',
            "info",
            '127.0.0.1:45926 - "GET /x HTTP/1.1" 200 OK',
        ),
        ("worker", "[2026-11-22 19:30:22,574: ERROR/MainProcess] consumer: no", "error", "consumer: no"),
        (
            "worker",
            "/opt/venv/lib/x.py:893: SecurityWarning: root",
            "warning",
            "/opt/venv/lib/x.py:893: SecurityWarning: root",
        ),
        ("api", '{"no": "message"}', None, '{"no": "message"}'),
        ("api", '{"event": "cut o', None, '{"event": "cut o'),
    ],
)
def test_each_services_own_marks_give_the_level(service: str, text: str, level: str | None, message: str):
    found = parse(service, text)
    assert isinstance(found, Head)
    assert (found.level, found.message) == (level, message)


def test_postgres_prefix_becomes_fields():
    found = parse("postgres", POSTGRES[2])
    assert isinstance(found, Head)
    assert found.fields == {
        "pid": 5590,
        "user": "app_rw",
        "database": "opentranscribe",
        "application": "opentr-api",
        "client": "172.18.0.4",
    }


def test_an_applications_name_cant_pass_for_a_severity():
    found = parse("postgres", "2026-11-22 19:31:05.453 UTC [1] a@b/PANIC:  x 1.2.3.4 LOG:  fine")
    assert isinstance(found, Head)
    assert (found.level, found.message) == ("info", "fine")


# Entries


def test_statement_detail_and_context_belong_to_the_message_above():
    found = messages(assembled(lines("postgres", POSTGRES)))
    assert found[2] == (
        "error",
        "column \"nope\" does not exist at character 8\nSTATEMENT:  select nope,\n\t   'two\n\tlines';",
    )
    assert found[3][1].splitlines()[1:] == [
        "\tsecond line",
        "DETAIL:  d1",
        "HINT:  h1",
        "CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE",
    ]
    assert [level for level, _ in found] == ["info", "error", "error", "warning", "info", "info"]


def test_a_traceback_with_its_cause_belongs_to_the_error_above():
    found = messages(assembled(lines("api", PYTHON)))
    assert [level for level, _ in found] == ["error", "info"]
    assert found[0][1].splitlines()[-1] == "RuntimeError: no"


def test_two_tracebacks_are_two_entries():
    found = messages(assembled(lines("worker", [*PYTHON[1:6], *PYTHON[1:6]])))
    assert [text.count("Traceback") for _, text in found] == [1, 1]


@given(st.data())
def test_services_that_interleave_dont_break_entries(data: st.DataObject):
    alone = [lines("postgres", POSTGRES), lines("api", PYTHON)]
    order = data.draw(st.permutations([0] * len(POSTGRES) + [1] * len(PYTHON)))
    sources = [iter(each) for each in alone]
    mixed = [next(sources[index]) for index in order]
    mixed = [LogLine(line.service, START + timedelta(milliseconds=n), line.text) for n, line in enumerate(mixed)]
    found = list(assembled(mixed))
    for service, each in zip(("postgres", "api"), alone, strict=True):
        assert messages(entry for entry in found if entry.service == service) == messages(assembled(each))
    assert all(first.time <= second.time for first, second in pairwise(found))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["postgres", "pgbouncer", "redis", "proxy", "api", "worker", "other"]),
            st.one_of(st.sampled_from([*POSTGRES, *PYTHON, ""]), st.text(st.characters(exclude_characters="\n"))),
            st.floats(0, 2),
        ),
        max_size=60,
    )
)
def test_whatever_is_written_no_line_is_lost_and_the_order_stays(written: list[tuple[str, str, float]]):
    now, given_lines = START, []
    for service, text, pause in written:
        now += timedelta(seconds=pause)
        given_lines.append(LogLine(service, now, text))
    found = list(assembled(given_lines))
    assert all(first.time <= second.time for first, second in pairwise(found))
    shown = "\n".join(loglines.as_json(entry) for entry in found)
    for entry in map(json.loads, shown.splitlines()):
        assert set(entry) >= {"time", "service", "level", "message"}
    for service in {line.service for line in given_lines}:
        heads = [
            p for line in given_lines if line.service == service and isinstance(p := parse(service, line.text), Head)
        ]
        assert sum(entry.service == service for entry in found) >= (1 if heads else 0)


def test_an_entry_waits_half_a_second_at_most_for_its_next_line():
    first, second = lines("postgres", POSTGRES[2:4], step=LINGER.total_seconds() + 0.1)
    other = LogLine("redis", first.time + LINGER + timedelta(milliseconds=1), "1:M 22 Nov 2026 19:44:11.880 * x")
    found = list(assembled([first, other, second]))
    assert [(entry.service, entry.late) for entry in found] == [
        ("postgres", False),
        ("redis", False),
        ("postgres", True),
    ]
    assert found[2].level == "error"


def test_an_entry_without_end_is_given_in_parts():
    found = list(assembled(lines("postgres", [POSTGRES[2], *["\tx"] * (2 * MOST_LINES)], step=0)))
    assert len(found) == 3
    assert [entry.late for entry in found] == [False, True, True]


def test_memory_is_bounded_where_a_service_never_writes_again():
    endless = (LogLine("api", START, "INFO:     x") for _ in range(30_000))
    found = assembled([LogLine("redis", START, "1:M 22 Nov 2026 19:44:11.880 * x"), *endless])
    assert next(found).service == "redis"


# What reaches the terminal


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b2Jgone", "gone"),
        ("a\x1bcb", "ab"),
        ("\x1b\x1b[0m[31mx", "\\x1b[31mx"),
        ("over\rwritten", "over\\x0dwritten"),
        ("dos\r", "dos"),
        ("a\x08b\x00\x7f\x85", "a\\x08b\\x00\\x7f\\x85"),
        ("turned \u202eround", "turned \\u202eround"),
        ("\udcff", "\\udcff"),
        ("tab\tstays, ü and 日 too", "tab\tstays, ü and 日 too"),
    ],
)
def test_nothing_that_a_terminal_obeys_gets_through(written: str, shown: str):
    assert clean(written) == shown


@given(st.text())
def test_no_control_is_left_whatever_is_written(text: str):
    assert all(sign in "\t\n" or sign.isprintable() or not logtext._CONTROL.match(sign) for sign in clean(text))  # noqa: SLF001


def test_controls_that_json_hides_are_no_way_round():
    entry = next(assembled([LogLine("api", START, r'{"event": "\u001b[2Jgone", "x\u0007": ["\u001b]0;t\u0007"]}')]))
    assert (entry.message, entry.fields) == ("gone", {"x\\x07": [""]})


def test_a_message_with_line_breaks_cant_forge_an_entry():
    entry = next(assembled([LogLine("api", START, r'{"event": "x\n12:00:00.000 postgres forged", "y": "\nforged"}')]))
    shown = loglines.Text(terminal=False, colour=False, today=START.date()).of(entry)
    assert all(line.startswith("    ") for line in shown.splitlines()[1:])


def test_a_line_of_a_megabyte_is_one_entry_and_quick():
    began = time.process_time()
    (entry,) = kept(
        keeping(grep="end$"), [LogLine("api", START, '{"event": "' + "x" * 1_000_000 + 'end", "a": "\\u001b["}')]
    )
    assert len(entry.message) == 1_000_003
    assert time.process_time() - began < 2


def test_data_nested_too_deeply_is_cut():
    deep = '{"event": "x", "y": ' + "[" * 900 + "]" * 900 + "}"
    (entry,) = kept(keeping(), [LogLine("api", START, deep)])
    assert "…" in loglines.as_json(entry)


# Filters


def test_level_keeps_an_entry_as_a_whole():
    found = kept(keeping(level="error"), lines("postgres", POSTGRES))
    assert [entry.message.splitlines()[-1] for entry in found] == ["the database system is starting up", "\tlines';"]


def test_what_has_no_level_counts_as_info():
    assert len(kept(keeping(level="info"), lines("postgres", ["initdb: creating"]))) == 1
    assert not kept(keeping(level="warning"), lines("postgres", ["initdb: creating"]))


def test_grep_finds_in_any_line_of_an_entry_and_in_its_fields():
    assert [e.level for e in kept(keeping(grep=r"^\s+lines"), lines("postgres", POSTGRES))] == ["error"]
    assert len(kept(keeping(grep="database=opentranscribe"), lines("postgres", POSTGRES))) == 3


def test_grep_sees_what_is_shown_and_no_secret():
    given_lines = lines("api", ['{"event": "hello hunter2x", "level": "info"}'])
    assert not kept(keeping(grep="hunter2x", secrets=["hunter2x"]), given_lines)
    assert [entry.message for entry in kept(keeping(grep="hello", secrets=["hunter2x"]), given_lines)] == [
        f"hello {REDACTED}"
    ]


def test_what_comes_late_goes_the_way_of_its_entry():
    late = lines("postgres", POSTGRES[2:6], step=1)
    assert len(kept(keeping(grep="nope"), late)) == 4
    assert not kept(keeping(grep="never there"), late)


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(LogQueryInvalid) as caught:
        pattern("(")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "--grep (" in caught.value.what


def test_a_secret_that_stands_across_lines_of_an_entry_is_blotted_out():
    (entry,) = kept(
        keeping(), lines("postgres", [PG + "ERROR:  x", PG + "STATEMENT:  alter role x password", "\t'hunter2'"])
    )
    assert "hunter2" not in entry.message


# The newest


@dataclass
class Recorded:
    """A runtime whose services have written these lines."""

    written: list[LogLine]
    asked: list[int | None]

    def logs(self, query: LogQuery) -> Iterator[LogLine]:
        self.asked.append(query.tail)
        names = {line.service for line in self.written}
        cut = {name: [line for line in self.written if line.service == name] for name in names}
        if query.tail is not None:
            cut = {name: each[len(each) - min(query.tail, len(each)) :] for name, each in cut.items()}
        yield from sorted((line for each in cut.values() for line in each), key=lambda line: line.time)


@given(st.integers(0, 30), st.integers(1, 7), st.randoms())
def test_the_newest_are_those_of_the_whole_log(count: int, every: int, random: object):
    shuffle = random.shuffle  # type: ignore[attr-defined]
    texts = [("api", f"INFO:     {n}") for n in range(400)] + [("postgres", text) for text in POSTGRES * 20]
    shuffle(texts)
    written = [LogLine(service, START + timedelta(milliseconds=n), text) for n, (service, text) in enumerate(texts)]
    grep = rf"^\d*{every}$"
    found = logs.newest(Recorded(written, []), LogQuery(), count, keeping(grep=grep))  # type: ignore[arg-type]
    assert messages(found) == (messages(kept(keeping(grep=grep), written))[-count:] if count else [])


def test_a_short_tail_reads_no_more_than_the_end_of_a_long_log():
    runtime = Recorded(lines("api", (f"INFO:     {n}" for n in range(20_000))), [])
    found = logs.newest(runtime, LogQuery(), 10, keeping())  # type: ignore[arg-type]
    assert [entry.message for entry in found] == [str(n) for n in range(19_990, 20_000)]
    assert runtime.asked == [200]


def test_an_entry_that_the_end_cuts_through_is_not_shown_in_half():
    long = [POSTGRES[2], *["\tx"] * 300, POSTGRES[0]]
    found = logs.newest(Recorded(lines("postgres", long), []), LogQuery(), 2, keeping())  # type: ignore[arg-type]
    assert [entry.message.count("\n") for entry in found] == [300, 0]


# Since


@pytest.mark.parametrize(
    ("text", "ago"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("3d", 259_200), ("1w", 604_800), (" 10m ", 600)],
)
def test_a_duration_is_so_long_ago(text: str, ago: int):
    assert logtimes.since(text, START) == START - timedelta(seconds=ago)


def test_a_moment_with_an_offset_is_that_moment():
    assert logtimes.since("2026-01-02T03:04+01:00", START) == datetime(2026, 1, 2, 2, 4, tzinfo=UTC)
    assert logtimes.since("2026-01-02 03:04:05.5z", START) == datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)


def test_a_moment_without_one_is_of_this_machines_zone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert logtimes.since("2026-01-02T03:04", START) == datetime(2026, 1, 1, 18, 4, tzinfo=UTC)
        assert logtimes.since("2026-01-02", START) == datetime(2026, 1, 1, 15, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["", "10", "10x", "yesterday", "2026-13-01", "2026-01-02T25:00", "-5m", "03:04", "20260102", "2027-01-01"]
)
def test_anything_else_is_refused_with_what_would_be_right(text: str):
    with pytest.raises(LogQueryInvalid) as caught:
        logtimes.since(text, START)
    assert caught.value.what.startswith("--since")
    assert caught.value.exit_code is ExitCode.USAGE


@given(st.text())
def test_since_takes_any_text_without_a_fault(text: str):
    with contextlib.suppress(LogQueryInvalid):
        assert logtimes.since(text, START) <= START


@pytest.mark.parametrize("text", ["999999999w", "0001-01-01", "9999-12-31T23:59-23:59"])
def test_the_ends_of_time_are_no_fault(text: str):
    try:
        assert logtimes.since(text, START) == datetime(1970, 1, 1, tzinfo=UTC)
    except LogQueryInvalid as error:
        assert "future" in error.what or "neither" in error.what  # noqa: PT017 - either is right


# How it looks


def test_json_has_our_names_first_and_keeps_the_services_own():
    (entry,) = kept(keeping(), [LogLine("api", START, '{"event": "x", "level": "info", "service": "mine", "ms": 2.5}')])
    assert loglines.as_json(entry) == (
        '{"time": "2026-11-22T19:31:00.000000Z", "service": "api", "level": "info", "message": "x", '
        '"service_": "mine", "ms": 2.5}'
    )


def test_fields_are_shown_as_one_would_type_them():
    entry = Entry(
        "api", START, "info", "slow", {"ms": 2.5, "path": "/x", "agent": "a b", "empty": "", "exception": "T\n  x"}
    )
    assert entry.text() == 'slow  ms=2.5 path=/x agent="a b" empty=""\nT\n  x'


def test_on_a_terminal_another_day_is_said_once():
    view = loglines.Text(terminal=True, colour=False, today=(START + timedelta(days=2)).astimezone().date())
    shown = [view.of(Entry("redis", START + timedelta(hours=n), None, "x")) for n in (0, 0, 24)]
    assert [text.count("──") for text in shown] == [2, 0, 2]


def test_a_line_that_would_fill_the_terminal_is_cut_there_and_nowhere_else():
    entry = Entry("api", START, "info", "first\n" + "x" * 1_000_000, {"ms": 3})
    on_terminal, piped = (
        loglines.Text(terminal=terminal, colour=terminal, today=START.date()).of(entry) for terminal in (True, False)
    )
    assert on_terminal.endswith("x … and 996,000 characters more (| less shows them)")
    assert "first  ms=3" in on_terminal
    assert "x" * 1_000_000 in piped


def test_every_level_and_service_has_its_place():
    view = loglines.Text(terminal=True, colour=False, today=START.astimezone().date())
    shown = [
        view.of(Entry(service, START, level, "|"))
        for service in ("api", "postgres", "pgbouncer")
        for level in (*LEVELS, None)
    ]
    assert len({text.index("|") for text in shown}) == 1
    assert isinstance(parse("postgres", "\tx"), More)
