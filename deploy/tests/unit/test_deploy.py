from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from opentr import journal
from opentr.actions import course, history, migration, releases, rollback
from opentr.actions.course import Course, Phase
from opentr.cli import deploytext
from opentr.errors import ExitCode, OpentrError
from opentr.errors.deploy import (
    DeployUnknown,
    MigrationStopped,
    NothingDeployed,
    PreflightFailed,
    RollbackRefused,
    RolledBack,
)
from opentr.errors.services import NothingRunning
from tests.unit.releasing import Said, opened, release, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opentr.actions.environment import Environment


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return opened(tmp_path, monkeypatch)


def under_way(environment: Environment) -> Course:
    return Course(running(environment, Said(answer="0010")), "deploy", release("one"), "0.2.0")


def phase(name: str, do: Callable[[], dict[str, Any]] = dict) -> Phase:
    return Phase(name, f"do {name}", "", do)


def never(error: Exception) -> NoReturn:
    raise AssertionError from error


def test_an_error_before_the_roll_closes_the_deploy_with_the_release_before_serving(environment: Environment):
    def fail() -> dict[str, Any]:
        raise NothingRunning("opentr-test", "prod")

    deploy = under_way(environment)
    with pytest.raises(NothingRunning) as caught:
        deploy.run([phase(course.PREFLIGHT), phase(course.BACKUP, fail)], never)
    assert caught.value.what == "nothing of opentr-test is running; one goes on serving"
    (entry,) = history.entries(environment.state)
    assert (entry.outcome, entry.release, entry.revision, entry.failed_in) == ("reverted", "one", "0010", "backup")
    assert journal.unfinished(environment.state) is None


@pytest.mark.parametrize(("failing", "code"), [(course.PREFLIGHT, ExitCode.BLOCKED), (course.BACKUP, ExitCode.FAILED)])
def test_a_blocker_is_one_of_the_preflight_alone(environment: Environment, failing: str, code: ExitCode):
    def fail() -> dict[str, Any]:
        raise NothingDeployed("opentr-test")

    with pytest.raises(NothingDeployed) as caught:
        under_way(environment).run([phase(failing, fail)], never)
    assert caught.value.exit_code == code


def test_what_is_no_error_of_ours_leaves_the_deploy_open_for_the_next_command(environment: Environment):
    def interrupt() -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        under_way(environment).run([phase(course.PREFLIGHT, interrupt)], never)
    open_ = journal.unfinished(environment.state)
    assert open_
    assert open_.begun.data == {"way": "deploy", "before": "one", "to": "0.2.0"}


def test_only_errors_of_phases_that_touch_what_serves_call_for_the_way_back(environment: Environment):
    asked: list[str] = []

    def fail() -> dict[str, Any]:
        raise NothingRunning("opentr-test", "prod")

    def back(error: Exception) -> NoReturn:
        asked.append(str(error))
        raise error

    for name in course.PHASES:
        with pytest.raises(NothingRunning):
            under_way(environment).run([phase(name, fail)], back)
    assert len(asked) == 2


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_whoever_interrupts_the_roll_gets_the_release_before_back(
    environment: Environment, signal: type[BaseException]
):
    def interrupt() -> dict[str, Any]:
        raise signal

    def back(error: OpentrError) -> NoReturn:
        raise RolledBack("two", error.what, "one", "0010", ())

    with pytest.raises(RolledBack, match=r"^two doesn't come up: it was interrupted; one serves again"):
        under_way(environment).run([phase(course.ROLL, interrupt)], back)


def test_what_serves_is_asked(environment: Environment):
    stopped = Said(answer="0010")
    stopped.at_work = ("postgres",)
    assert course.standing(running(environment, stopped), release("one")) == "one isn't serving, as before"
    assert course.standing(running(environment, Said()), release("one")) == "one goes on serving"


def test_events_are_told_as_they_happen(environment: Environment):
    told: list[dict[str, Any]] = []
    deploy = under_way(environment)
    deploy.tell = lambda event: told.append(dict(event))
    deploy.run([phase(course.BACKUP, lambda: {"label": "20261122F"})], never)
    deploy.close(course.DONE, release("two"))
    assert [each["event"] for each in told] == ["begun", "started", "done", "closed"]
    assert told[2]["label"] == "20261122F"
    assert told[3] | {"release": "two", "revision": "0010", "outcome": "done"} == told[3]


def test_a_failed_migration_says_the_apps_words_the_revision_and_what_serves():
    lines = ("to 0011 (Colour) in 0.1 s", "the migration failed: on purpose. The database is at revision 0011", "mend")
    with pytest.raises(MigrationStopped) as caught:
        run(Said(*lines, code=1), "0011")
    error = caught.value
    assert error.what == (
        "revision 0012: the migration failed: on purpose. The database is at revision 0011; one goes on serving"
    )
    assert (error.hint, error.exit_code, error.reached) == ("mend", ExitCode.FAILED, "0011")


def test_a_migration_carries_the_exit_code_and_a_list_of_the_app():
    lines = ("there are rows that pending revisions would refuse:", "  a on tag: 1 row, id 1", "correct these")
    with pytest.raises(MigrationStopped) as caught:
        run(Said(*lines, code=4), "0010")
    assert caught.value.exit_code == ExitCode.BLOCKED
    assert "\n  a on tag: 1 row, id 1; the database is at revision 0010; one goes on serving" in caught.value.what
    assert caught.value.hint == "correct these"


def test_a_migration_tells_the_revisions_that_it_went_through():
    said = Said("lock not granted, attempt 1 of 20", "to 0011 (Colour) in 0.1 s", "to 0012 (Shape) in 1.0 s", "done")
    assert run(said, "0012") == ["0011", "0012"]


def run(candidate: Said, reached: str) -> list[str]:
    given: Any = candidate
    live: Any = Said(answer=reached)
    return migration.run(given, live, ["0011", "0012"], "one goes on serving")


def test_what_is_pending_is_read_from_the_apps_answers():
    candidate: Any = Said(
        "=== opentr: current",
        "a note",
        '{"revision": "0010", "drift": ["index a is missing"], "pending": ["0011"]}',
        "=== opentr: code 4",
        "=== opentr: migrate",
        "{",
        ' "pending": ["0011"], "breaking_rows": ["x on tag: 1 row, id 3"]',
        "}",
        "=== opentr: code 4",
        "=== opentr: sql",
        "BEGIN;",
        "=== opentr: indexes",
        '{"0010": ["old"], "0011": ["old", "new"]}',
    )
    found = migration.ask(candidate)
    assert (found.revisions, found.revision, found.sql) == (["0011"], "0010", "BEGIN;\n")
    assert (found.drift, found.breaking_rows) == (["index a is missing"], ["x on tag: 1 row, id 3"])
    assert (found.new_indexes, found.faults) == ({"new"}, [])


def test_an_answer_that_is_an_error_is_a_fault_with_its_hint():
    error = '{"error": "DatabaseNewer", "what": "newer", "hint": "use that"}'
    candidate: Any = Said(
        *("=== opentr: current", error, "newer", "use that", "=== opentr: code 4"),
        *("=== opentr: migrate", error, "=== opentr: code 4", "=== opentr: sql", "=== opentr: indexes", "{}"),
    )
    assert migration.ask(candidate).faults == [("newer", "use that")]


@pytest.mark.parametrize(
    "current",
    [(), ("killed",), ('{"event": "a note of the log"}',), ('{"revision": "0010"', "=== opentr: code 1")],
    ids=["nothing", "words", "another object", "half an object"],
)
def test_an_answer_without_what_was_asked_is_a_fault(current: tuple[str, ...]):
    planned = '{"pending": [], "breaking_rows": []}'
    rest = ("=== opentr: migrate", planned, "=== opentr: sql", "=== opentr: indexes", "{}")
    candidate: Any = Said("=== opentr: current", *current, *rest)
    assert len(migration.ask(candidate).faults) == 1
    candidate = Said("=== opentr: current", *current)
    _, faults = migration.faults(candidate)
    assert faults


def test_sql_that_cant_be_told_is_a_fault():
    answers = ('{"revision": "0010", "drift": []}', "=== opentr: migrate", '{"pending": [], "breaking_rows": []}')
    rest = ("=== opentr: sql", "no such revision", "=== opentr: code 1", "=== opentr: indexes", "{}")
    candidate: Any = Said("=== opentr: current", *answers, *rest)
    assert [what for what, _ in migration.ask(candidate).faults] == [
        "the SQL of the pending migrations can't be told: no such revision"
    ]


def test_versions_are_compared_as_numbers():
    assert releases.number("0.10.1") > releases.number("0.9.12")
    assert releases.number("0.2.0-3fa9c1d2e4b5") == (0, 2, 0)


def test_a_rollback_needs_a_release_before(environment: Environment):
    releases.store(environment, release("one"))
    releases.make_current(environment, release("one"))
    with pytest.raises(RollbackRefused, match="this is the first release here"):
        rollback.target(environment)


def test_a_rollback_is_refused_where_the_schema_needs_a_newer_release(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("opentr.actions.candidate.missing", lambda *_: [])
    for each in (release("one"), release("two", version="0.2.0")):
        releases.store(environment, each)
        releases.make_current(environment, each)
    refusing = running(environment, Said(answer="0.2.0"))
    with pytest.raises(RollbackRefused, match=r"the schema needs release 0\.2\.0 or newer, and that one is 0\.1\.0"):
        rollback.target(refusing)
    assert rollback.target(running(environment, Said(answer="0.1.0"))).id == "one"


def test_the_history_is_a_line_each_and_one_shows_its_phases(environment: Environment):
    deploy = under_way(environment)
    deploy.run([phase(course.PREFLIGHT), phase(course.BACKUP, lambda: {"label": "20261122F"})], never)
    deploy.close(course.DONE, release("two"))
    entries = history.entries(environment.state)
    title, line = deploytext.table(entries)
    assert title.split() == ["ID", "WAY", "RELEASE", "OUTCOME"]
    assert line.split()[1:5] == ["deploy", "two", "done", "in"]
    shown = "\n".join(deploytext.lines(history.find(environment.state, entries[0].id[:8])))
    assert "label 20261122F" in shown
    assert deploytext.table([]) == ["nothing was deployed here yet; type ./opentr.sh deploy prod"]


def test_the_history_fits_80_columns_with_the_longest_names(environment: Environment):
    def fail() -> dict[str, Any]:
        raise NothingRunning("opentr-test", "prod")

    rollback_ = Course(running(environment, Said(answer="0010")), "rollback", release("0.1.0-66e44f7455bd-2374a5"), "")
    with pytest.raises(NothingRunning):
        rollback_.run([phase(course.PREFLIGHT, fail)], never)
    (entry,) = history.entries(environment.state)
    for each in (entry, replace(entry, outcome="done", seconds=3599.0, phases=())):
        assert max(len(line) for line in deploytext.table([each])) <= 80


def test_what_pending_revisions_do_to_rows_is_known_from_their_sql():
    sql = """\
-- UPDATE nothing
ALTER TABLE task ADD COLUMN lease text; UPDATE alembic_version SET version_num='0011';
UPDATE task SET lease = '' WHERE lease IS NULL;
DELETE  from only "user" WHERE id < 0;
UPDATE schema_release SET oldest_release = '0.1.0';
TRUNCATE TABLE tag;
update task SET lease = 'x';
"""
    pending = migration.Pending(["0011"], "0010", [], [], sql)
    assert pending.row_changes == ["UPDATE task", 'DELETE FROM "user"', "TRUNCATE TABLE tag"]
    assert migration.Pending([], "0010", [], [], "UPDATE alembic_version SET version_num = '1';").row_changes == []


def test_a_deploy_that_is_not_there_is_told_with_those_that_are(environment: Environment):
    with pytest.raises(DeployUnknown, match="nothing was deployed here yet"):
        history.find(environment.state, None)


def test_the_first_blocker_of_many_doesnt_hide_the_others():
    from opentr.errors.deploy import Blocker  # noqa: PLC0415 - only here

    error = PreflightFailed(
        [Blocker("a", "one", "do this"), Blocker("b", "two", "do that")], "0.1.0 goes on serving", "deploy"
    )
    assert error.what.splitlines() == [
        "2 things are in the way, and nothing was changed; 0.1.0 goes on serving:",
        *("  one", "    → do this", "  two", "    → do that"),
    ]
    assert error.exit_code == ExitCode.BLOCKED
