"""`reset dev`: from nothing, on a running stack, interrupted anywhere, and back."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import urllib.parse
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.e2e import watching
from tests.e2e.watching import (
    LIVE,
    PREVIOUS,
    databases,
    generations,
    inside,
    interrupted_at,
    pool_is_paused,
    redis,
    sql,
)
from tests.stacks import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

COLUMNS = """SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default
FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"""


@pytest.fixture(scope="module")
def kept(dev: Stack) -> Stack:
    """The module's stack, after a second reset: there is a generation before."""
    dev.done("reset", "dev")
    return dev


def remember(stack: Stack, word: str) -> None:
    """Leaves a word in all three parts of the live generation."""
    sql(stack, f"INSERT INTO tag (name) VALUES ('{word}')")
    redis(stack, 0, f"SET remembered {word}")
    inside(stack, "api", "sh", "-c", f"echo {word} >/srv/media/current/remembered")


def remembered(stack: Stack) -> list[str]:
    """The words that are found in the three parts."""
    tag = sql(stack, "SELECT name FROM tag WHERE name NOT IN ('Important', 'Meeting', 'Interview', 'Personal')")
    media = inside(stack, "api", "find", "/srv/media/current", "-name", "remembered", "-exec", "cat", "{}", ";")
    return [tag, redis(stack, 0, "GET remembered"), media]


def works(stack: Stack) -> None:
    """Everything is healthy, of one generation, and a client gets an answer."""
    assert stack("health").returncode == 0
    assert not (stack.state / "swap.json").exists()
    assert not pool_is_paused(stack)
    assert len(generations(stack)) == 1
    assert databases(stack) <= {LIVE, PREVIOUS}
    watching.wait_until(lambda: watching.answers(stack))


def test_from_nothing_to_everything_healthy(stacks: MakeStack):
    stack = stacks()
    said = stack("reset", "dev")
    assert said.returncode == 0, said.stderr
    password = (stack.state / "secrets/admin_password").read_text().strip()
    assert stack.address("api", 8000) in said.stdout
    assert "admin@example.com" in said.stdout
    assert password in said.stdout
    assert password not in said.stderr
    assert stack("health").returncode == 0
    assert sql(stack, "SELECT count(*) FROM alembic_version") == "1"
    form = urllib.parse.urlencode({"username": "admin@example.com", "password": password}).encode()
    with urllib.request.urlopen(f"http://{stack.address('api', 8000)}/api/auth/token", form) as answer:
        assert json.load(answer)["token_type"] == "bearer"  # noqa: S105 - no password


def test_a_warm_reset_fails_no_client_and_restarts_nothing(kept: Stack):
    remember(kept, "old")
    before = {name: (each.id, each.started) for name, each in kept.containers().items()}
    with watching.asking(kept) as answers:
        kept.done("reset", "dev")
    assert answers.failures == []
    assert answers.good > 1
    assert answers.longest_seconds < 5
    assert remembered(kept) == ["", "", ""]
    assert {name: (each.id, each.started) for name, each in kept.containers().items()} == before
    works(kept)


def test_undo_brings_all_three_parts_back_and_undone_twice_is_redone(kept: Stack):
    kept.done("reset", "dev")
    remember(kept, "before")
    kept.done("reset", "dev")
    assert remembered(kept) == ["", "", ""]
    with watching.asking(kept) as answers:
        kept.done("reset", "dev", "--undo")
    assert answers.failures == []
    assert remembered(kept) == ["before"] * 3
    works(kept)
    kept.done("reset", "dev", "--undo")
    assert remembered(kept) == ["", "", ""]
    works(kept)


def test_grants_on_the_database_are_those_of_roles_sql(kept: Stack):
    kept.done("reset", "dev")
    acl = f"SELECT datacl::text FROM pg_database WHERE datname = '{LIVE}'"
    now = sql(kept, acl, "postgres")
    assert "app_rw=Tc/app_owner" in now
    assert "pgb_auth=c/app_owner" in now
    assert "{=" not in now
    assert ",=" not in now


def test_a_worker_still_gets_its_tasks(kept: Stack):
    kept.done("reset", "dev")
    assert inside(kept, "worker", "python", "-m", "app.healthcheck", "worker") is not None
    assert kept("health").returncode == 0


def test_the_migrations_make_the_same_schema_as_the_sql(kept: Stack):
    kept.done("reset", "dev")
    from_sql = sql(kept, COLUMNS)
    assert watching.summary(kept, "reset", "dev", "--from", "migrations")["made"]["source"] == "migrations"  # type: ignore[index]
    assert sql(kept, COLUMNS) == from_sql
    works(kept)


def test_a_transaction_that_holds_up_the_pool_is_ended_and_named(kept: Stack):
    host, _, port = kept.address("pgbouncer", 6432).partition(":")
    password = (kept.state / "secrets/app_rw_password").read_text().strip()
    words = {"host": host, "port": port, "user": "app_rw", "password": password, "dbname": LIVE}
    with closing(psycopg2.connect(**words, application_name="forgotten")) as open_one, open_one.cursor() as cursor:
        cursor.execute("SELECT 'a secret word', count(*) FROM tag")
        said = kept("reset", "dev")
    assert said.returncode == 0, said.stderr
    assert "ended, since it held up the pool: pid" in said.stderr
    assert "forgotten" in said.stderr
    assert "a secret word" not in said.stderr
    works(kept)


def test_a_plan_changes_nothing(kept: Stack):
    before = generations(kept)
    for words in (("--undo",), ("--hard",), ("--from", "migrations"), ()):
        assert "1. " in kept.done("reset", "dev", "--plan", *words)
    assert generations(kept) == before
    assert kept("health").returncode == 0


def test_hard_needs_a_word_and_removes_the_volumes(kept: Stack):
    remember(kept, "gone")
    said = kept("reset", "dev", "--hard")
    assert said.returncode == 3
    assert f"{kept.project}_postgres-data" in said.stderr
    assert " MB)" in said.stderr
    assert kept("reset", "dev", "--hard", "--confirm", "prod").returncode == 3
    assert remembered(kept) == ["gone"] * 3
    kept.done("reset", "dev", "--hard", "--yes")
    assert remembered(kept) == ["", "", ""]
    undo = kept("reset", "dev", "--undo")
    assert undo.returncode == 4
    assert "there is no generation before this one" in undo.stderr
    kept.done("reset", "dev")
    works(kept)


@pytest.mark.parametrize("words", [(), ("--undo",)], ids=["reset", "undo"])
@pytest.mark.parametrize("step", range(1, 9))
def test_killed_at_any_step_the_next_command_puts_it_right(kept: Stack, words: tuple[str, ...], step: int):
    kept.done("reset", "dev")
    remember(kept, "before")
    interrupted_at(kept, step, signal.SIGKILL, "reset", "dev", *words)
    # the pool isn't left paused, even before anything else is typed
    watching.wait_until(lambda: not pool_is_paused(kept))
    watching.wait_until(lambda: watching.answers(kept))
    kept.done("start")
    works(kept)
    assert len({*remembered(kept)}) == 1
    assert databases(kept) == {LIVE, PREVIOUS}
    kept.done("reset", "dev")
    works(kept)


@pytest.mark.parametrize("step", range(1, 9))
def test_ctrl_c_at_any_step_leaves_one_whole_generation(kept: Stack, step: int):
    kept.done("reset", "dev")
    remember(kept, "before")
    code = interrupted_at(kept, step, signal.SIGINT, "reset", "dev")
    assert code in (0, 130)
    works(kept)
    assert len({*remembered(kept)}) == 1


@pytest.mark.parametrize("service", ["postgres", "pgbouncer", "redis", "api", "worker"])
def test_a_service_that_was_killed_comes_back(kept: Stack, service: str):
    killed = kept.containers()[service].id
    kept.engine.remove_container(killed, grace=0)
    kept.done("reset", "dev")
    assert kept.containers()[service].id != killed
    works(kept)


@pytest.mark.parametrize("service", ["postgres", "redis", "pgbouncer", "api"])
def test_a_container_that_dies_during_the_reset(kept: Stack, service: str):
    kept.done("reset", "dev")
    with watching.running(kept, "reset", "dev") as process:
        watching.wait_until(lambda: (kept.state / "swap.json").exists() or process.poll() is not None)
        kept.engine.remove_container(kept.containers()[service].id, grace=0)
        process.wait()
    kept.done("start")
    kept.done("reset", "dev")
    assert {each.state for each in kept.containers().values()} == {"running"}
    works(kept)


def test_the_swap_survives_a_restart_of_redis(kept: Stack):
    kept.done("reset", "dev")
    remember(kept, "before")
    kept.done("reset", "dev")
    kept.done("restart", "dev", "redis")
    assert remembered(kept) == ["", "", ""]
    works(kept)
    kept.done("reset", "dev", "--undo")
    assert remembered(kept) == ["before"] * 3


def test_a_stopped_stack_is_reset_too(kept: Stack):
    kept.done("stop")
    kept.done("reset", "dev")
    assert {each.state for each in kept.containers().values()} == {"running"}
    works(kept)


def test_a_database_that_somebody_dropped_is_made_again(kept: Stack):
    sql(kept, f"DROP DATABASE {LIVE} WITH (FORCE)", "postgres")
    kept.done("reset", "dev")
    assert LIVE in databases(kept)
    works(kept)


def test_where_only_the_data_services_run_the_app_stays_out(stack: Stack):
    stack.done("start", "--profile", "infra")
    sql(stack, "INSERT INTO tag (name) VALUES ('old')")
    stack.done("reset", "dev")
    assert set(stack.containers()) == {"postgres", "pgbouncer", "redis"}
    assert sql(stack, "SELECT count(*) FROM tag WHERE name = 'old'") == "0"
    stack.done("reset", "dev", "--undo")
    assert sql(stack, "SELECT count(*) FROM tag WHERE name = 'old'") == "1"


NOT_IN_A_CLONE = shutil.ignore_patterns(".git", ".venv", ".cache", ".opentr", "__pycache__", ".hypothesis", "*_cache")


@pytest.fixture
def developers(stacks: MakeStack, tmp_path: Path) -> Stack:
    """The data services of a checkout whose SQL a test may change. It borrows this one's Python packages."""
    place = tmp_path / "a checkout"
    shutil.copytree(CHECKOUT, place, ignore=NOT_IN_A_CLONE)
    script = (
        f'#!/bin/sh\nPYTHONPATH="{place}/deploy:{place}/backend" exec "{CHECKOUT}/.venv/bin/python" -m opentr "$@"\n'
    )
    (place / "opentr.sh").write_text(script)
    made = stacks(checkout=place)
    made.done("start", "--profile", "infra")
    return made


def test_sql_that_is_ahead_of_the_migrations_is_reset_to_and_told(developers: Stack):
    file = developers.checkout / "database/init_db.sql"
    good = file.read_text()
    file.write_text(good + "CREATE TABLE ahead (id integer PRIMARY KEY);\n")
    said = developers.done("reset", "dev")
    assert said.splitlines()[-1] == "init_db.sql is ahead of the migrations; type ./opentr.sh db revision -m ..."
    assert sql(developers, "SELECT to_regclass('ahead')") == "ahead"
    assert sql(developers, "SELECT to_regclass('alembic_version')") == ""
    assert "init_db.sql is ahead" in developers.done("reset", "dev")
    file.write_text(f"{good}CREATE TABLE broken (\n")
    broken = developers("reset", "dev")
    assert broken.returncode == 1
    line = len(good.splitlines()) + 1
    assert f"database/init_db.sql, line {line}: syntax error" in broken.stderr
    assert sql(developers, "SELECT to_regclass('ahead')") == "ahead"
    assert databases(developers) == {LIVE, PREVIOUS}
    file.write_text(good)
    assert "ahead" not in developers.done("reset", "dev")


def test_on_a_full_disk_nothing_changes_and_it_works_when_there_is_room(stack: Stack):
    stack("status")
    own = (stack.state / "id").read_text().strip()
    labels = {
        "com.docker.compose.project": stack.project,
        "com.docker.compose.volume": "postgres-data",
        "org.opentranscribe.project": stack.project,
        "org.opentranscribe.state": own,
        "org.opentranscribe.checkout": str(CHECKOUT),
    }
    options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=200m,uid=10001,gid=10001,mode=0700"]
    words = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    volume = f"{stack.project}_postgres-data"
    subprocess.run(["docker", "volume", "create", *options, *words, volume], check=True)  # noqa: S607
    stack.done("start", "--profile", "infra")
    sql(stack, "INSERT INTO tag (name) VALUES ('kept'); CHECKPOINT")
    free = int(inside(stack, "postgres", "df", "--output=avail", "--block-size=1", "/var/lib/postgresql").split()[-1])
    inside(stack, "postgres", "fallocate", "--length", str(free - 300_000), "/var/lib/postgresql/filler")
    said = stack("reset", "dev")
    assert said.returncode == 4
    assert "no room left" in said.stderr
    assert sql(stack, "SELECT name FROM tag WHERE name = 'kept'") == "kept"
    assert not pool_is_paused(stack)
    inside(stack, "postgres", "rm", "/var/lib/postgresql/filler")
    stack.done("reset", "dev")
    assert sql(stack, "SELECT name FROM tag WHERE name = 'kept'") == ""
    assert databases(stack) == {LIVE, PREVIOUS}
