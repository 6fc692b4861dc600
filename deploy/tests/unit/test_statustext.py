from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from opentr.actions.status import Database, Pool, Status
from opentr.cli import statustext
from opentr.runtimes.base import ServiceState

NOW = datetime.now(UTC)
STARTED = NOW - timedelta(hours=2, minutes=5)
SERVICES = ("postgres", "pgbouncer", "redis", "api", "worker")
UP = [
    ServiceState(name, "running", "healthy", f"x/{name}:1", "0.1.0", STARTED, addresses=("127.0.0.1:15432",))
    for name in SERVICES
]
WELL = Status(
    environment="dev",
    project="opentr-dev",
    release=None,
    release_id=None,
    services=UP,
    meant=SERVICES,
    outdated=(),
    database=Database(
        revision="0010",
        head="0010",
        size_bytes=9_800_000,
        tables=12,
        sessions=4,
        max_sessions=100,
        free_bytes=80_000_000_000,
        disk_bytes=271_000_000_000,
        made_at=(NOW - timedelta(minutes=3)).isoformat(),
    ),
    pool=Pool(clients=12, waiting=0, servers=3, size=20),
    backups=None,
    holder=None,
    interrupted=False,
)


@pytest.fixture(autouse=True)
def _seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ages are of this moment, however long ago this file was imported."""
    monkeypatch.setattr(statustext, "now", lambda: NOW)


def told(status: Status) -> str:
    return "\n".join(statustext.lines(status))


def test_a_stack_that_is_well():
    assert statustext.lines(WELL)[0].split() == ["SERVICE", "STATE", "FOR", "ADDRESS", "VERSION"]
    assert told(WELL).splitlines()[-4:] == [
        "",
        "database  revision 0010, the newest; 9.8 MB, made 3 min ago",
        "pool      12 clients, 0 waiting; 3 of 20 connections at work",
        "disk      80 GB of 271 GB free",
    ]
    assert "postgres   healthy  2 h  127.0.0.1:15432  0.1.0" in told(WELL)


def test_it_fits_80_columns():
    sick = replace(UP[0], health="unhealthy", restarts=12)
    status = replace(
        WELL, services=[sick, *UP[1:]], outdated=("postgres",), holder="./opentr.sh reset dev (pid 1234567)"
    )
    assert max(map(len, statustext.lines(status)[:10])) <= 80


def test_nothing_running_says_what_to_type():
    status = replace(WELL, services=[ServiceState(name, "missing") for name in SERVICES], database=None, pool=None)
    assert statustext.lines(status) == ["nothing is running; type ./opentr.sh start dev"]


def test_what_is_stopped_and_what_is_sick_are_told_apart():
    died = ServiceState("worker", "exited", exit_code=137)
    sick = replace(UP[3], health="unhealthy")
    text = told(replace(WELL, services=[*UP[:3], sick, died]))
    assert "worker     exited (137)" in text
    assert "not running: worker; type ./opentr.sh start dev" in text
    assert "not healthy: api; read the log: ./opentr.sh logs dev api" in text


def test_what_was_never_started_is_no_fault():
    status = replace(
        WELL, services=[*UP[:3], *(ServiceState(name, "missing") for name in SERVICES[3:])], meant=SERVICES[:3]
    )
    assert "not running" not in told(status)
    assert status.healthy


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (Database(fault="no answer within 3 s"), "doesn't answer: no answer within 3 s"),
        (Database(), "empty"),
        (Database(tables=3, revision="0009", head="0010"), "revision 0009, this checkout has 0010; 0 B"),
        (Database(tables=3, head="0010"), "at no revision (init_db.sql is ahead of the migrations); 0 B"),
    ],
)
def test_the_database_in_words(database: Database, words: str):
    assert f"database  {words}" in told(replace(WELL, database=database))


def test_waiting_clients_are_told_with_how_long():
    text = told(replace(WELL, pool=Pool(clients=70, waiting=50, waiting_seconds=1.25, servers=20, size=20)))
    assert "pool      70 clients, 50 waiting for 1.2 s; 20 of 20 connections at work" in text


def test_where_no_pool_belongs_to_it_that_is_told():
    assert "pool      none: the app connects directly (local processes)" in told(
        replace(WELL, pool=None, without_pool="local processes")
    )
    assert "pool" not in told(replace(WELL, pool=None, services=[UP[0]], meant=("postgres",)))


def test_a_pool_that_was_left_paused_is_warned_of_unless_somebody_works_on_it():
    paused = replace(WELL, pool=Pool(paused=True))
    assert "the pool is paused, and its clients wait" in told(paused)
    assert "the pool is paused" not in told(replace(paused, holder="./opentr.sh reset dev (pid 1, since 12:00:00)"))


def test_a_deploy_that_was_cut_short_is_told_unless_it_goes_on():
    cut = replace(WELL, cut_short="the deploy of 0.2.0 that was cut short during roll")
    note = "the deploy of 0.2.0 that was cut short during roll: ./opentr.sh start dev finishes it, or takes it back"
    assert note in told(cut)
    assert note not in told(replace(cut, holder="./opentr.sh deploy prod (pid 1, since 12:00:00)"))


def test_an_interrupted_reset_a_full_disk_and_old_images_are_told():
    nearly_full = replace(WELL.database, free_bytes=1, disk_bytes=100) if WELL.database else None
    text = told(replace(WELL, interrupted=True, database=nearly_full, outdated=("api",)))
    assert "a reset was cut short: ./opentr.sh start dev finishes it" in text
    assert "the disk is nearly full" in text
    assert "api: the image differs from the code: ./opentr.sh build" in text


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949_999, "9.9 MB"),
        (9_960_000, "10 MB"),
        (999_600, "1.0 MB"),
        (4e12, "4.0 TB"),
    ],
)
def test_sizes_in_words(size: float, words: str):
    assert statustext.amount(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (90_000, "1 d")]
)
def test_ages_in_words(seconds: int, words: str):
    assert statustext.age(NOW - timedelta(seconds=seconds, milliseconds=100)) == words
