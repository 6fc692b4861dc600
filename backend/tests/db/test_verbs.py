"""Bad states and bad input get exact words, two lines, and the exit codes of the project; nothing is changed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.db import chain, command, current, history, inspect, migrate, scratch, sql
from tests.db.rows import ask, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

    from tests.pgbouncer import PgBouncer
    from tests.servers import Servers

VERBS = {"current": current, "history": history, "sql": sql, "migrate": migrate}


def verb(name: str, dsn: URL | str, *words: str) -> int:
    """The exit code of a verb, run on a database."""
    text = dsn if isinstance(dsn, str) else dsn.render_as_string(hide_password=False)
    return command.run(VERBS[name].parser(), VERBS[name].act, ["--dsn", text, *words])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The two lines of a refusal, as one text; there are never more of the first kind than one."""
    return capsys.readouterr().err


@pytest.mark.parametrize("name", VERBS)
def test_a_server_that_does_not_answer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        assert verb(name, f"postgresql://app_rw:hunter2@127.0.0.1:{port}/opentranscribe") == 1
    what, hint = said(capsys).splitlines()
    assert what == f"the server of app_rw@127.0.0.1:{port}/opentranscribe doesn't answer: Connection refused"
    assert hint == "start it, or correct --dsn (or MIGRATOR_DATABASE_URL)"


def test_a_database_that_is_not_there(server: URL, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("current", server.set(database="nothere")) == 1
    assert "there is no such database: postgres@" in said(capsys)


def test_a_wrong_password(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = as_role(database, "app_ro").set(password="wrong")  # noqa: S106 - that is the test
    assert verb("current", wrong) == 1
    text = said(capsys)
    assert "refuses the login" in text
    assert "wrong" not in text


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://a@b/c",
        "nonsense",
        "postgresql://a@b:notaport/c",
        "host=a bogus=1",
        "",
        " ",
        "host=a port=abc",
        "postgresql://u:hunt@er2@127.0.0.1/d",
        "postgresql:///d?hostt=/tmp",
        "host=127.0.0.1 sslmode=bogus",
    ],
)
def test_an_address_that_is_none(dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("current", dsn) == 2
    text = said(capsys)
    assert len(text.splitlines()) == 2
    assert "er2" not in text


def test_a_password_in_a_wrong_word_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(sql.parser(), sql.act, ["postgresql://a:hunter2@h/x", "--json"]) == 2
    captured = capsys.readouterr()
    assert "hunter2" not in captured.err + captured.out


def test_an_address_through_a_pooler(
    pool: PgBouncer, database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verb("current", pool.through(as_role(database, "app_rw"))) == 4
    assert "goes through a connection pooler" in said(capsys)


@pytest.mark.parametrize("name", ["current", "sql", "migrate"])
def test_an_unknown_revision(name: str, migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]) -> None:
    url = migrated("0002")
    run(url, "UPDATE alembic_version SET version_num = '74093bff36e6'")
    capsys.readouterr()
    assert verb(name, url) == 4
    what, hint = said(capsys).splitlines()
    assert what == "the database says it is at revision 74093bff36e6, which no migration of this release has"
    assert "db adopt --plan" in hint
    assert ask(url, "SELECT version_num FROM alembic_version") == "74093bff36e6"


def test_a_database_of_a_newer_release(migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]) -> None:
    url = migrated(chain.head().id)
    run(url, "UPDATE alembic_version SET version_num = '0042'", "UPDATE schema_release SET oldest_release = '2.0.0'")
    capsys.readouterr()
    assert verb("migrate", url) == 4
    assert "revision 0042 of a newer release and asks for release 2.0.0 or newer" in said(capsys)


def test_tables_without_a_revision(database: URL, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb("migrate", database) == 4
    assert "the database has tables and says no revision" in said(capsys)


def test_two_revisions_at_once(migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]) -> None:
    url = migrated("0003")
    run(url, "INSERT INTO alembic_version VALUES ('0005')")
    capsys.readouterr()
    assert verb("migrate", url) == 4
    assert "says 2 revisions at once (0003, 0005)" in said(capsys)


def test_a_drifted_column_is_shown_by_current(
    migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    url = migrated(chain.head().id)
    capsys.readouterr()
    assert verb("current", url) == 0
    assert f"is at {chain.head()}; nothing pending" in capsys.readouterr().out
    run(url, "ALTER TABLE media_file ALTER author TYPE varchar(300)")
    assert verb("current", url) == 4
    out = capsys.readouterr().out
    assert "column media_file.author is: character varying(300); expected: character varying(255)" in out


def test_a_role_without_the_rights(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    run(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    assert verb("current", as_role(database, "app_ro")) == 4
    assert "the role app_ro may not do that: permission denied for table alembic_version" in said(capsys)


def test_history_without_a_database_is_a_list_with_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(history.parser(), history.act, ["--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [each["revision"] for each in data["revisions"]] == [revision.id for revision in chain.revisions()]
    assert "isn't known" in data["note"]


def test_sql_prints_what_migrate_would_run_and_runs_nothing(
    migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    url = migrated("0008")
    capsys.readouterr()
    assert verb("sql", url) == 0
    out = capsys.readouterr().out
    assert "ALTER TABLE media_file ALTER COLUMN upload_time SET NOT NULL" in out
    assert "0007" not in out
    assert ask(url, "SELECT version_num FROM alembic_version") == "0008"


def test_migrate_plan_lists_and_changes_nothing(
    migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    url = migrated("0008")
    capsys.readouterr()
    assert verb("migrate", url, "--plan", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "pending": [revision.id for revision in chain.after(chain.known("0008"))],
        "breaking_rows": [],
    }
    assert ask(url, "SELECT version_num FROM alembic_version") == "0008"


def test_migrating_backwards_is_refused(migrated: Callable[[str], URL], capsys: pytest.CaptureFixture[str]) -> None:
    url = migrated("0008")
    capsys.readouterr()
    assert verb("migrate", url, "--to", "0004") == 2
    assert "the database is at 0008 (Validate), after 0004 (Indexes)" in said(capsys)


@pytest.mark.parametrize("words", [["--frm", "0001"], ["--to", "0099", "--from", "0001"]])
def test_wrong_words_end_with_2_and_two_lines(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(sql.parser(), sql.act, words) == 2
    assert len(said(capsys).splitlines()) == 2


def test_an_unexpected_error_is_one_line_and_a_log_without_passwords(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_args: object) -> command.Report:
        raise RuntimeError("postgresql://app_rw:hunter2@localhost/x broke")

    assert command.run(sql.parser(), act, []) == 1
    what, hint = said(capsys).splitlines()
    assert what == "unexpected: postgresql://app_rw:[REDACTED]@localhost/x broke"
    log = Path(hint.removeprefix("the details are in "))
    text = log.read_text()
    assert "hunter2" not in text
    assert "RuntimeError" in text
    log.unlink()


def test_every_verb_offers_help() -> None:
    for module in (*VERBS.values(), inspect):
        with pytest.raises(SystemExit) as ended:
            module.parser().parse_args(["--help"])
        assert ended.value.code == 0


def test_a_scratch_server_has_the_locale_of_production(servers: Servers) -> None:
    assert (
        ask(
            servers.get(18).url,
            "SELECT format('%s %s', datcollate, datlocprovider) FROM pg_database WHERE datname = 'template0'",
        )
        == "C b"
    )
    assert scratch.find_server(18)


def test_ctrl_c_before_a_verb_has_begun_is_no_traceback() -> None:
    interrupted = (
        "import runpy, sys\n"
        "def run_module(*_args, **_words): raise KeyboardInterrupt\n"
        "runpy.run_module, sys.argv = run_module, ['app.db', 'check']\n"
        "import app.db.__main__\n"
    )
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, check=False)
    assert ended.returncode == command.INTERRUPTED
    assert ended.stderr.split("\n", 2)[1:] == ["interrupted", "type the same command again: nothing had begun\n"]
