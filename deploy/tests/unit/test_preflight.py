"""What stands in the way of a deploy, in words: all of it, each with what to type."""

from __future__ import annotations

import pytest

from opentr.actions import preflight
from opentr.actions.migration import Pending
from opentr.actions.preflight import Found
from opentr.errors import ProcessFailed
from opentr.errors.data import NoRoom
from opentr.server import hazards
from opentr.server.hazards import Server
from tests.unit.releasing import release


def pending(**given: object) -> Pending:
    plain = {"revisions": ["0011"], "revision": "0010", "drift": [], "breaking_rows": [], "sql": ""}
    return Pending(**(plain | given))  # type: ignore[arg-type]


def schema(of: Pending, *invalid: str) -> list[str]:
    found = Found()
    preflight._schema(found, Server(17, 0, [], list(invalid)), of)  # noqa: SLF001 - the part that words it
    return [each.what for each in found.blockers]


def test_a_schema_as_it_should_be_is_no_blocker():
    assert schema(pending()) == []


def test_drift_and_rows_that_would_be_refused_are_blockers():
    of = pending(drift=["table x is not expected; found: y"], breaking_rows=["c on tag: 1 row, id 3"])
    assert schema(of) == [
        "the schema isn't that of revision 0010: table x is not expected; found: y",
        "rows that a pending revision refuses: c on tag: 1 row, id 3",
    ]


def test_an_index_that_a_pending_revision_builds_may_be_there_half_built():
    of = pending(
        drift=["index new is not expected; found: CREATE INDEX new ... INVALID"], new_indexes=frozenset({"new"})
    )
    assert schema(of, "new") == []


def test_another_invalid_index_is_a_blocker_once():
    of = pending(drift=["index bad is not expected; found: CREATE INDEX bad ... INVALID"])
    assert schema(of, "bad") == ["the index bad is invalid"]


def test_checks_that_cant_be_made_are_blockers_and_the_others_go_on():
    found = Found()
    with found.checking("the database"):
        raise ProcessFailed("psql", 2, "first\nFATAL: no\n")
    with found.checking("the disk"):
        raise NoRoom("a proof", "/var", "2 GB", "1 GB")
    assert [each.what for each in found.blockers] == [
        "the database: FATAL: no",
        "a proof needs 2 GB in /var, and 1 GB are free",
    ]
    assert all(each.hint for each in found.blockers)


def test_the_same_finding_is_told_once():
    found = Found()
    found.block("a", "what", "hint")
    found.block("b", "what", "hint")
    assert len(found.blockers) == 1


def test_the_rules_find_what_would_lock_a_table_and_let_harmless_statements_through():
    assert preflight.lint("BEGIN;\nALTER TABLE tag ADD COLUMN colour varchar(20);\nCOMMIT;\n") == []
    (line,) = preflight.lint("BEGIN;\nCREATE INDEX a ON tag (name);\nCOMMIT;\n")
    assert line.startswith("require-concurrent-index-creation: ")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"sessions": [{"pid": 7, "who": "psql", "state": "idle in transaction", "seconds": 90, "query": "BEGIN"}]},
            "a transaction that doesn't end: pid 7 (psql), idle in transaction for 90 s: BEGIN",
        ),
        ({"prepared": ["x"]}, "a prepared transaction that nobody ends: x"),
        (
            {"advisory": [{"pid": 8, "who": "app", "seconds": 99}]},
            "a stranded advisory lock, of a session that is idle for 99 s: pid 8 (app)",
        ),
        ({"slots": ["old"]}, "the replication slot old has lost the WAL that it needs"),
        ({"migrators": [9, 10]}, "another migrator is at work: pid 9"),
    ],
)
def test_each_hazard_of_the_server_says_how_to_end_it(found: dict[str, object], words: str):
    nothing = {"sessions": [], "prepared": [], "advisory": [], "slots": [], "migrators": []}
    (hazard,) = hazards._hazards(nothing | found)  # noqa: SLF001 - the part that words it
    assert hazard.what == words
    assert "./opentr.sh psql prod --write" in hazard.hint


def test_a_revision_that_the_release_that_serves_doesnt_tolerate_is_in_the_way():
    found = Found()
    preflight.tolerated(found, release("three", oldest_release="0.3.0"), release("two", version="0.2.0"))
    assert [each.what for each in found.blockers] == [
        "the pending revisions need release 0.3.0 or newer, and two serves meanwhile"
    ]
    found = Found()
    preflight.tolerated(found, release("three", oldest_release="0.2.0"), release("two", version="0.2.0"))
    preflight.tolerated(found, release("three", oldest_release=""), release("two", version="0.2.0"))
    assert found.blockers == []
