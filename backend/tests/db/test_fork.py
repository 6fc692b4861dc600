"""The application's engine in forked processes, as Celery's prefork pool and multiprocessing make them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from app.db import binaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

_SETUP = """
import json, multiprocessing, os, sys, traceback
from sqlalchemy import text
from app.db.base import SessionLocal, engine
from app.db.session_utils import session_scope

def pid():
    with session_scope() as session:
        return session.scalar(text("SELECT pg_backend_pid()"))

def many(_=None):
    for number in range(50):
        with session_scope() as session:
            assert session.scalar(text("SELECT :number + 0"), {"number": number}) == number
    return pid()

def in_child(work):
    "What work() returns in a forked child that ends like any interpreter does."
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(answer).encode())
        sys.exit(0)
    os.close(writing)
    assert os.waitpid(child, 0)[1] == 0
    with os.fdopen(reading) as answers:
        return json.loads(answers.read())
"""
_POOLED_CONNECTIONS = """
sessions = [SessionLocal() for _ in range(3)]
before = [session.scalar(text("SELECT pg_backend_pid()")) for session in sessions]
for session in sessions:
    session.close()
child = in_child(many)
after = many()
print(json.dumps({"before": before, "child": child, "after": after, "opened": engine.pool.checkedin()}))
"""
_MULTIPROCESSING = """
mine = pid()
with multiprocessing.get_context("fork").Pool(3) as workers:
    running = workers.map_async(many, range(6), chunksize=1)
    parent = many()
    theirs = running.get(60)
print(json.dumps({"mine": mine, "parent": parent, "theirs": theirs}))
"""
_OPEN_SESSION = """
session = SessionLocal()
session.execute(text("INSERT INTO tag (name) VALUES ('parents')"))

def use_inherited():
    try:
        session.execute(text("SELECT 1"))
    except Exception as error:
        session.rollback()
        return [type(error).__name__, str(error.orig), session.scalar(text("SELECT pg_backend_pid()"))]

used = in_child(use_inherited)
left = in_child(lambda: None)
closed = in_child(session.close)
mine = session.scalar(text("SELECT pg_backend_pid()"))
session.commit()
with session_scope() as other:
    kept = other.scalar(text("SELECT count(*) FROM tag WHERE name = 'parents'"))
print(json.dumps({"used": used, "mine": mine, "kept": kept}))
"""


@pytest.fixture(params=["direct", "pooled"])
def run(
    request: pytest.FixtureRequest, database: URL, as_role: Callable[[URL, str], URL]
) -> Callable[[str], dict[str, Any]]:
    """Runs a program whose application settings point to the test's database; answers what it prints as JSON."""
    url = as_role(database, "app_rw")
    if request.param == "pooled":
        url = request.getfixturevalue("pool").through(url)

    def run_program(program: str) -> dict[str, Any]:
        environment = os.environ | {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "DB_POOL_PRE_PING": "false",  # which would notice and replace what is amiss
            "PYTHONPATH": str(binaries.CHECKOUT / "backend"),
        }
        done = subprocess.run(
            [sys.executable, "-c", _SETUP + program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run_program


def test_a_child_leaves_its_parents_pool_alone(
    run: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    said = run(_POOLED_CONNECTIONS)
    assert said["opened"] == 3, "the parent's connections survived the child's end"
    if request.node.callspec.params["run"] == "direct":
        assert said["child"] not in said["before"]
        assert said["after"] in said["before"]


def test_prefork_workers_and_their_parent_work_at_the_same_time(
    run: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    said = run(_MULTIPROCESSING)
    assert len(said["theirs"]) == 6
    if request.node.callspec.params["run"] == "direct":
        assert said["parent"] == said["mine"]
        assert said["mine"] not in said["theirs"]


def test_a_session_that_is_open_while_forking_stays_the_parents(
    run: Callable[[str], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    said = run(_OPEN_SESSION)
    kind, words, childs_own = said["used"]
    assert (kind, said["kept"]) == ("InterfaceError", 1)
    assert "belongs to the process that forked this one" in words
    if request.node.callspec.params["run"] == "direct":
        assert childs_own != said["mine"]
