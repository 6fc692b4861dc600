"""What a reset says and refuses, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentr.actions.database import templates
from opentr.actions.reset_prod import Live
from opentr.server import psql
from opentr.server.generations import Database
from opentr.server.sessions import Session, without_values
from opentr.sizes import size

if TYPE_CHECKING:
    from tests.conftest import RunTool


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (8_540_000, "8.54 MB"), (1_250_000_000, "1.25 GB"), (4e12, "4 TB")],
)
def test_sizes_are_told_in_the_largest_unit_that_fits(count: float, words: str):
    assert size(count) == words


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT 'secret' FROM tag", "SELECT '***' FROM tag"),
        ("UPDATE tag SET name = 'it''s me'\n  WHERE id = 3", "UPDATE tag SET name = '***' WHERE id = 3"),
        ("SELECT " + "a, " * 50, "SELECT " + "a, " * 24 + "…"),
    ],
)
def test_a_statement_is_shown_in_one_line_without_its_strings(query: str, shown: str):
    assert without_values(query) == shown


def test_a_session_names_itself():
    session = Session(pid=7, application="", state="idle in transaction", seconds=31, query="SELECT 1")
    assert str(session) == "pid 7 (unnamed), idle in transaction for 31 s: SELECT 1"


@pytest.mark.parametrize(("text", "quoted"), [("plain", "E'plain'"), ("it's", "E'it''s'"), ("a\\b", "E'a\\\\b'")])
def test_texts_become_sql_strings(text: str, quoted: str):
    assert psql.literal(text) == quoted


def test_only_what_is_named_as_we_name_them_is_a_template_of_ours():
    ours = ["opentranscribe_template_0123456789ab", "opentranscribe_template_making"]
    others = [
        "opentranscribe",
        "opentranscribe_templates",
        "opentranscribe_template_0123456789abc",
        "x_template_making",
    ]
    assert templates({name: Database(name, "", 0) for name in [*ours, *others]}) == ours


def test_what_is_at_stake_is_told_with_its_rows():
    live = Live(8_000_000, "0010", {"public.tag": 4, "public.media_file": 12_345, "public.task": 0})
    assert live.lines() == [
        "the live database opentranscribe: 8 MB, at revision 0010",
        "  public.tag                   4 rows",
        "  public.media_file       12,345 rows",
        "  and 1 empty tables",
    ]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("prod", "--hard"), "--hard"),
        (("prod", "--from", "sql"), "--from"),
        (("dev", "--without-dump"), "--without-dump"),
        (("dev", "--undo", "--hard"), "--undo"),
        (("dev", "--undo", "--from", "sql"), "--undo"),
        (("dev", "--from", "sqlite"), "sqlite"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(opentr: RunTool, words: tuple[str, ...], named: str):
    said = opentr("reset", *words)
    assert said.returncode == 2
    assert named in said.stderr
