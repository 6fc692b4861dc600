"""`reset prod`: always asked for, a proven dump first, and a way back."""

from __future__ import annotations

import json
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.watching import LIVE, PREVIOUS, databases, inside, sql, wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

PROOF = "opentranscribe_proof"


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """A running prod stack."""
    made = stacks()
    made.done("start", "prod")
    return made


@pytest.fixture
def valued(prod: Stack) -> Stack:
    """The same, with a row that nobody would like to lose, and no generation before."""
    sql(prod, f"DROP DATABASE IF EXISTS {PREVIOUS} WITH (FORCE)", "postgres")
    sql(prod, "INSERT INTO tag (name) VALUES ('precious') ON CONFLICT DO NOTHING")
    return prod


def precious(stack: Stack, database: str = LIVE) -> bool:
    return sql(stack, "SELECT count(*) FROM tag WHERE name = 'precious'", database) == "1"


def dumps(stack: Stack) -> list[str]:
    return sorted(str(each) for each in (stack.state / "backups").glob("*.dump"))


@pytest.mark.parametrize("words", [(), ("--yes",), ("--confirm", "dev")])
def test_nothing_happens_without_the_name(valued: Stack, words: tuple[str, ...]):
    before = dumps(valued)
    said = valued("reset", "prod", *words)
    assert said.returncode == 3
    assert "public.tag" in said.stderr
    assert " 5 rows" in said.stderr
    assert said.stderr.splitlines()[-1] == "add --confirm prod to go ahead"
    assert precious(valued)
    assert dumps(valued) == before
    assert valued("health", "prod").returncode == 0


def test_the_dump_is_whole_private_and_can_be_restored(valued: Stack):
    said = json.loads(valued.done("reset", "prod", "--confirm", "prod", "--json"))
    file = said["dump"]["file"]
    assert file in dumps(valued)
    assert stat.S_IMODE((valued.state / "backups").stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in (valued.state / "backups").iterdir()} == {0o600}
    assert not precious(valued)
    assert databases(valued) == {LIVE, PREVIOUS}
    assert valued("health", "prod").returncode == 0
    sql(valued, "CREATE DATABASE elsewhere", "postgres")
    words = ["docker", "exec", "-i", valued.containers()["postgres"].id, "pg_restore", "-e", "-U", "postgres"]
    with open(file, "rb") as dump:  # noqa: PTH123 - a path that was told
        subprocess.run([*words, "-d", "elsewhere"], stdin=dump, check=True)
    assert precious(valued, "elsewhere")
    sql(valued, "DROP DATABASE elsewhere", "postgres")


def test_undo_brings_the_old_data_back(valued: Stack):
    valued.done("reset", "prod", "--confirm", "prod")
    assert not precious(valued)
    valued.done("reset", "prod", "--undo", "--confirm", "prod")
    assert precious(valued)
    assert valued("health", "prod").returncode == 0


def test_data_without_a_dump_is_never_dropped(valued: Stack):
    valued.done("reset", "prod", "--confirm", "prod", "--without-dump")
    said = valued("reset", "prod", "--confirm", "prod")
    assert said.returncode == 4
    assert PREVIOUS in said.stderr
    assert precious(valued, PREVIOUS)
    assert valued("health", "prod").returncode == 0
    hint = said.stderr.splitlines()[-1]
    assert f"./opentr.sh psql prod --write -d postgres -c 'DROP DATABASE {PREVIOUS}'" in hint
    valued.done("psql", "prod", "--write", "-d", "postgres", "-c", f"DROP DATABASE {PREVIOUS}")
    valued.done("reset", "prod", "--confirm", "prod")


def test_a_database_that_cannot_be_dumped_stays_as_it_is(valued: Stack):
    table = sql(valued, "CREATE TABLE broken AS SELECT 1 AS a; CHECKPOINT; SELECT pg_relation_filepath('broken')")
    file = f"/var/lib/postgresql/data/{table.splitlines()[-1]}"
    inside(valued, "postgres", "mv", file, f"{file}.away")
    sql(valued, f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{LIVE}'", "postgres")
    before = dumps(valued)
    said = valued("reset", "prod", "--confirm", "prod")
    assert said.returncode == 1, said.stderr
    assert "could not open file" in said.stderr
    assert "--without-dump" in said.stderr.splitlines()[-1]
    assert precious(valued)
    assert dumps(valued) == before
    assert list((valued.state / "backups").glob(".*")) == []
    assert PROOF not in databases(valued)
    assert valued("health", "prod").returncode == 0
    valued.done("reset", "prod", "--confirm", "prod", "--without-dump")
    assert valued("health", "prod").returncode == 0
    sql(valued, f"DROP DATABASE {PREVIOUS}", "postgres")


@pytest.mark.parametrize("words", [("--hard",), ("--from", "sql"), ("--undo", "--without-dump")])
def test_what_does_not_fit_prod_is_refused(prod: Stack, words: tuple[str, ...]):
    assert prod("reset", "prod", *words).returncode == 2


def test_a_plan_changes_nothing(valued: Stack):
    plan = valued.done("reset", "prod", "--plan")
    assert "pg_dump" in plan
    assert "stop what writes: proxy, api, worker" in plan
    assert precious(valued)


def test_what_was_written_after_the_dump_is_noticed_and_kept(valued: Stack):
    """By psql for instance, which no fence keeps out: here at the moment in which the dump proves itself."""
    command = [valued.command, "reset", "prod", "--confirm", "prod"]
    with subprocess.Popen(command, env=valued.variables, stderr=subprocess.PIPE, text=True) as reset:
        wait_until(lambda: PROOF in databases(valued))
        sql(valued, "UPDATE tag SET name = 'more precious' WHERE name = 'precious'")
        said = reset.communicate()[1]
    assert reset.returncode == 0, said
    assert "written to after the dump: public.tag" in said
    assert valued("reset", "prod", "--confirm", "prod", "--without-dump").returncode == 4
    assert sql(valued, "SELECT count(*) FROM tag WHERE name = 'more precious'", PREVIOUS) == "1"


def test_undo_without_a_generation_before_stops_nothing(valued: Stack):
    before = {name: each.started for name, each in valued.containers().items()}
    said = valued("reset", "prod", "--undo", "--confirm", "prod")
    assert said.returncode == 4
    assert "no generation before" in said.stderr
    assert {name: each.started for name, each in valued.containers().items()} == before


def test_where_nothing_is_nothing_is_made(stack: Stack):
    said = stack("reset", "prod", "--confirm", "prod")
    assert "nothing of" in said.stderr
    assert stack.containers() == {}
