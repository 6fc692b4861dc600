from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any

import pytest

from app.db import binaries, chain, command, errors
from app.db import inspect as verb
from app.db.findings import Level, Limits
from app.db.inspect import inspect
from app.db.sections import NAMES, SECTIONS
from tests.db.sessions import (
    FOREIGN_SQL,
    dsn,
    found,
    in_transaction,
    problems,
    rows,
    run,
    said,
    until,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from tests.servers import Servers

SCRIPT = binaries.CHECKOUT / "scripts" / "db_inspect.py"


# Any database ---------------------------------------------------------------------------------------------------------


def test_fresh_schema_needs_nothing_but_a_revision(database: URL):
    inspection = inspect(database)
    assert problems(inspection) == {}
    assert [result.section.name for result in inspection.results] == list(NAMES)
    assert {finding.section for finding in inspection.findings} <= {"revision", "server"}
    assert {row["table"]: (row["rows"], row["rows_are"]) for row in rows(inspection, "tables")}["tag"] == (4, "exact")


def test_empty_database(empty_database: URL):
    inspection = inspect(empty_database)
    assert problems(inspection) == {}
    assert rows(inspection, "tables") == rows(inspection, "indexes") == rows(inspection, "sequences") == []
    assert rows(inspection, "revision")[0]["state"] == "none"


def test_foreign_database_with_odd_names(empty_database: URL):
    run(empty_database, FOREIGN_SQL)
    inspection = inspect(empty_database)
    assert problems(inspection) == {}
    tables = {row["table"]: row for row in rows(inspection, "tables")}
    assert (tables['100% "Odd":x']["rows"], tables['100% "Odd":x']["rows_are"]) == (7, "exact")
    assert tables["parts"]["kind"] == "partitioned table"
    assert tables["unmade"]["countable"] is False
    assert {row["sequence"]: row["end_value"] for row in rows(inspection, "sequences")} == {
        '100% "Odd":x_id_seq': 32767,
        "falling": -(2**63),
    }


def test_postgres_15(servers: Servers):
    with servers.with_head(15).clone("opentr_template_head") as url, in_transaction(url, "SELECT 1"):
        inspection = inspect(url, limits=Limits(idle_seconds=(0, 0)))
        assert problems(inspection) == {}
        assert "without data checksums" in found(url, "server")[str(url.database)].reason
        assert [finding.section for finding in inspection.findings if finding.level is Level.WARNING] == [
            "transactions"
        ]


def test_through_a_pool_nothing_is_left_behind(pooled_database: URL):
    settings = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('role')"
    before = run(pooled_database, settings)
    inspection = inspect(pooled_database)
    assert problems(inspection) == {}
    assert run(pooled_database, settings) == before


def test_every_transaction_is_read_only(database: URL, monkeypatch: pytest.MonkeyPatch):
    def write(connection: Connection, *_: object) -> list[Any]:
        connection.exec_driver_sql("CREATE TABLE made_by_inspect ()")
        return []

    section = next(section for section in SECTIONS if section.name == "cache")
    monkeypatch.setattr(verb, "SECTIONS", [dataclasses.replace(section, ask=write)])
    assert "read-only" in problems(inspect(database))["cache"]


# Revision -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "state", "level"),
    [
        (["head"], "head", Level.OK),
        (["first"], "behind", Level.NOTICE),
        (["head", "first"], "several", Level.WARNING),
        (["74093bff36e6"], "newer", Level.WARNING),
        ([], "none", Level.NOTICE),
    ],
)
def test_revision_against_head(database: URL, versions: list[str], state: str, level: Level):
    ids = {"head": chain.head().id, "first": chain.revisions()[0].id}
    run(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    for version in versions:
        run(database, f"INSERT INTO alembic_version VALUES ('{ids.get(version, version)}')")
    (result,) = inspect(database, ["revision"]).results
    assert (result.rows[0]["state"], result.level) == (state, level)
    if state == "behind":
        assert result.rows[0]["pending"] == [revision.id for revision in chain.revisions()[1:]]


def test_revision_that_no_release_has(empty_database: URL):
    run(
        empty_database,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('74093bff36e6')",
    )
    assert "no such revision" in found(empty_database, "revision")["74093bff36e6"].reason


# Limits of our own ----------------------------------------------------------------------------------------------------

HELD_CATALOG = "LOCK TABLE pg_catalog.pg_sequence IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", {"statement_timeout": "5s", "lock_timeout": "1s"}),
        ("-c statement_timeout=200", {"statement_timeout": "200ms", "lock_timeout": "1s"}),
        ("-c statement_timeout=60s -c lock_timeout=10s", {"statement_timeout": "5s", "lock_timeout": "1s"}),
    ],
    ids=["none", "shorter", "longer"],
)
def test_limits_of_a_query_are_ours_unless_the_role_has_shorter_ones(
    database: URL, own: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    seen: dict[str, str] = {}

    def look(connection: Connection, *_: object) -> list[Any]:
        for name in expected:
            seen[name] = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        return []

    section = next(section for section in SECTIONS if section.name == "cache")
    monkeypatch.setattr(verb, "SECTIONS", [dataclasses.replace(section, ask=look)])
    assert problems(inspect(database.update_query_dict({"options": own}))) == {}
    assert seen == expected


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(statement_seconds=0.2, lock_seconds=60), "timed out"),
        (Limits(statement_seconds=60, lock_seconds=0.2), "waited 0.2 s for a lock"),
    ],
)
def test_section_that_takes_too_long_says_so_and_the_others_go_on(database: URL, limits: Limits, words: str):
    with in_transaction(database, HELD_CATALOG):
        inspection = inspect(database, limits=limits)
    assert set(problems(inspection)) == {"sequences"}
    assert words in problems(inspection)["sequences"]
    assert rows(inspection, "wraparound")
    assert (inspection.findings[0].section, inspection.findings[0].level) == ("sequences", Level.WARNING)


def test_lost_connection_is_a_typed_error(database: URL):
    outcome: list[BaseException] = []

    def look() -> None:
        try:
            inspect(database, limits=Limits(statement_seconds=60, lock_seconds=60))
        except errors.DbError as error:
            outcome.append(error)

    with in_transaction(database, HELD_CATALOG):
        thread = threading.Thread(target=look)
        thread.start()
        hangs = "application_name = 'opentr inspect' AND wait_event_type = 'Lock'"
        pid = until(database, f"SELECT pid FROM pg_stat_activity WHERE {hangs}")
        run(database, f"SELECT pg_terminate_backend({pid})")
        thread.join()
    assert [type(error) for error in outcome] == [errors.ServerUnreachable]


# What people and programs get -----------------------------------------------------------------------------------------


def test_json_is_one_object_with_the_documented_keys(database: URL, capsys: pytest.CaptureFixture[str]):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT FROM tag"):
        data = json.loads(said(capsys, "--dsn", dsn(database), "--json"))
    assert set(data) == {"address", "role", "sections", "findings"}
    assert list(data["sections"]) == list(NAMES)
    assert all(set(section) == {"level", "problem", "rows"} for section in data["sections"].values())
    assert data["sections"]["locks"]["level"] == "warning"
    assert set(data["findings"][0]) == {"section", "subject", "level", "reason"}
    assert data["findings"][0]["level"] == "warning"
    assert isinstance(data["sections"]["tables"]["rows"][-1]["total_bytes"], int)


def test_plain_text_has_no_control_codes_and_ends_with_the_warnings(database: URL, capsys: pytest.CaptureFixture[str]):
    run(database, "SELECT setval('tag_id_seq', 2147483647)")
    text = said(capsys, "--dsn", dsn(database))
    assert "\x1b" not in text
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}
    end = text[text.index("Deserves attention: 1 warning (!!)") :].splitlines()
    assert end[2].split()[:3] == ["warning", "sequences", "tag_id_seq"]


def test_sections_can_be_chosen(database: URL, capsys: pytest.CaptureFixture[str]):
    data = json.loads(said(capsys, "--dsn", dsn(database), "--json", "--section", "locks", "cache"))
    assert list(data["sections"]) == ["locks", "cache"]


def test_unknown_section_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert command.run(verb.parser(), verb.act, ["--section", "sequence"]) == 2
    assert "sequences" in capsys.readouterr().err


def test_long_sections_are_cut_in_text_and_whole_in_json(database: URL, capsys: pytest.CaptureFixture[str]):
    run(database, *(f"CREATE SEQUENCE many_{n}" for n in range(40)))
    text = said(capsys, "--dsn", dsn(database), "--section", "sequences")
    assert "and 18 more; --json lists them all" in text
    assert len(re.findall(r"\w+_id_seq|many_\d+", text)) == 30
    data = json.loads(said(capsys, "--dsn", dsn(database), "--section", "sequences", "--json"))
    assert len(data["sections"]["sequences"]["rows"]) == 48


def test_script_runs_from_any_folder(database: URL, tmp_path: Path):
    argv = [sys.executable, SCRIPT, "--dsn", dsn(database), "--section", "revision"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "Revision" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_tables_fit_its_width(database: URL, width: int):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT FROM tag /* " + "long " * 40 + "*/"):
        screen = on_terminal([sys.executable, str(SCRIPT), "--dsn", dsn(database)], width)
    assert "\x1b[" in screen
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen).split("\r\n")
    assert max(map(len, lines[2:])) <= width  # the first line is the address, which wraps
    assert any("Locks waited for" in line for line in lines)


def on_terminal(argv: list[str], width: int) -> str:
    """What the program prints on a terminal of this width."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(argv, stdout=theirs, env=environment | {"TERM": "xterm-256color"}):
        os.close(theirs)
        return b"".join(_chunks(ours)).decode()


def _chunks(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError), contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as stream:
        while chunk := stream.read(65536):
            yield chunk
