from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import IntegrityError

from app import initial_data
from app.core import config
from app.core.security import verify_password
from app.db import command
from app.db.connect import direct
from app.models import User
from app.schemas.user import UserCreate
from app.services import users

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from app.db.report import Report

BOSS = "boss@example.com"


def address(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture
def dsn(database: URL, as_role: Callable[[URL, str], URL]) -> str:
    return address(as_role(database, "app_rw"))


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function: the settings as if the environment had these variables."""

    def to(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(config, "settings", config.load())

    return to


@pytest.fixture
def password_file(set_up: Callable[..., None], tmp_path: Path) -> Callable[[bytes | None], None]:
    """A function: the setting ADMIN_PASSWORD_FILE names a file with this content; None: one that isn't there."""

    def with_content(content: bytes | None) -> None:
        file = tmp_path / "password"
        if content is not None:
            file.write_bytes(content)
        set_up(ADMIN_PASSWORD_FILE=str(file))

    return with_content


def act(dsn: str) -> Report:
    return initial_data.act(initial_data.parser().parse_args(["--dsn", dsn]))


def run(dsn: str, *words: str) -> int:
    return command.run(initial_data.parser(), initial_data.act, ["--dsn", dsn, *words])


def administrators(session: Session) -> list[User]:
    session.rollback()
    return session.query(User).filter(User.is_superuser).all()


def test_the_first_run_makes_the_administrator(session: Session, dsn: str):
    report = act(dsn)
    (admin,) = administrators(session)
    assert report.data == {"created": True, "email": "admin@example.com", "password": report.data["password"]}
    assert (admin.email, admin.role, admin.is_active) == ("admin@example.com", "admin", True)
    assert verify_password(report.data["password"], admin.hashed_password)
    assert f"password, shown this once: {report.data['password']}" in report.parts


def test_two_instances_get_two_passwords(session: Session, dsn: str):
    first = act(dsn).data["password"]
    session.query(User).delete()
    session.commit()
    second = act(dsn).data["password"]
    assert first != second
    assert len(first) >= 20


def test_the_second_run_changes_nothing(session: Session, dsn: str):
    act(dsn)
    (before,) = administrators(session)
    kept = before.hashed_password
    report = act(dsn)
    (after,) = administrators(session)
    assert report.data == {"created": False, "email": "admin@example.com", "password": None}
    assert after.hashed_password == kept


def test_an_administrator_of_another_name_is_enough(session: Session, dsn: str):
    session.add(User(email=BOSS, hashed_password="-", full_name="Boss", is_superuser=True))  # noqa: S106
    session.commit()
    assert act(dsn).data == {"created": False, "email": BOSS, "password": None}
    assert len(administrators(session)) == 1


def test_many_at_once_make_one(session: Session, dsn: str):
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(act, [dsn] * 4))
    assert sorted(report.data["created"] for report in reports) == [False, False, False, True]
    assert len(administrators(session)) == 1


def test_whoever_comes_second_waits_for_the_first(session: Session, database: URL, dsn: str):
    assert users.admin_email(session) is None
    with ThreadPoolExecutor(1) as threads, direct(database, "tests") as watcher:
        second = threads.submit(act, dsn)
        while not watcher.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")):
            assert not second.done()
        session.add(User(email=BOSS, hashed_password="-", full_name="Boss", is_superuser=True))  # noqa: S106
        session.commit()
        assert second.result(timeout=60).data["email"] == BOSS


def test_it_works_through_the_pool(session: Session, pooled_database: URL):
    assert act(address(pooled_database)).data["created"]
    assert len(administrators(session)) == 1


def test_the_settings_say_who_and_by_which_password(
    session: Session, dsn: str, set_up: Callable[..., None], password_file: Callable[[bytes | None], None]
):
    password_file("pass word é\n".encode())
    set_up(ADMIN_EMAIL=BOSS)
    report = act(dsn)
    (admin,) = administrators(session)
    assert report.data == {"created": True, "email": BOSS, "password": None}
    assert verify_password("pass word é", admin.hashed_password)


def test_the_password_file_may_go_when_the_administrator_is_there(
    dsn: str, password_file: Callable[[bytes | None], None]
):
    act(dsn)
    password_file(None)
    assert run(dsn) == 0


def refused(dsn: str, capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The two lines of a refusal, as one."""
    assert run(dsn) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 2
    return err.replace("\n", " | ")


def test_a_user_of_that_address_is_not_promoted(session: Session, dsn: str, capsys: pytest.CaptureFixture[str]):
    session.add(User(email="admin@example.com", hashed_password="-", full_name="Mallory"))  # noqa: S106
    session.commit()
    said = refused(dsn, capsys, 4)
    assert said.startswith("admin@example.com belongs to a user who is no administrator")
    assert "ADMIN_EMAIL" in said
    assert administrators(session) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "ADMIN_PASSWORD_FILE won't do: String should have at least 8 characters"),
        (b"1234567\n", "ADMIN_PASSWORD_FILE won't do: String should have at least 8 characters"),
        (b"\xff" * 9, "can't be read: it isn't UTF-8 text"),
    ],
)
def test_a_password_file_that_will_not_do(
    dsn: str,
    password_file: Callable[[bytes | None], None],
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    reason: str,
):
    password_file(content)
    assert reason in refused(dsn, capsys, 2)


def test_a_password_file_that_will_not_do_leaves_nothing_behind(
    session: Session, dsn: str, password_file: Callable[[bytes | None], None]
):
    password_file(b"short")
    assert run(dsn) == 2
    assert administrators(session) == []


def test_an_address_that_will_not_do(dsn: str, set_up: Callable[..., None], capsys: pytest.CaptureFixture[str]):
    set_up(ADMIN_EMAIL="admin")
    assert "ADMIN_EMAIL won't do: an email address looks like name@host" in refused(dsn, capsys, 2)


def test_a_database_without_tables(
    empty_database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
):
    said = refused(address(as_role(empty_database, "app_rw")), capsys, 4)
    assert "has no table of users" in said
    assert "./opentr.sh db migrate" in said


@pytest.mark.parametrize("role", ["app_ro", "app_monitor"])
def test_a_role_without_the_rights(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str], role: str
):
    assert f"the role {role} may not read and write users" in refused(address(as_role(database, role)), capsys, 4)


def test_a_server_that_does_not_answer(capsys: pytest.CaptureFixture[str]):
    assert "doesn't answer" in refused("postgresql://app_rw@127.0.0.1:1/nowhere", capsys, 1)


def test_a_database_that_is_not_there(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
):
    missing = as_role(database, "app_rw").set(database="nowhere")
    assert "no such database" in refused(address(missing), capsys, 1)


def program(dsn: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": dsn, **variables}
    argv = [sys.executable, "-m", "app.initial_data", *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def test_as_a_program_it_prints_json(session: Session, dsn: str):
    done = program(dsn, "--json")
    printed: dict[str, Any] = json.loads(done.stdout)
    (admin,) = administrators(session)
    assert (done.returncode, done.stderr) == (0, "")
    assert verify_password(printed["password"], admin.hashed_password)


def test_a_wrong_setting_is_two_lines(dsn: str):
    done = program(dsn, DB_POOL_SIZE="many")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
    assert "DB_POOL_SIZE" in done.stderr


def test_only_a_taken_address_is_called_so(session: Session):
    new = UserCreate.model_validate({"email": BOSS, "full_name": "Boss", "password": "long enough"})
    taken = text("SELECT nextval(pg_get_serial_sequence('\"user\"', 'id')) + 1")
    session.add(User(id=session.scalar(taken), email="x@example.com", hashed_password="-", full_name="X"))  # noqa: S106
    session.flush()
    with pytest.raises(IntegrityError, match="user_pkey"):
        users.create_user(session, new)
    session.rollback()
    users.create_user(session, new)
    with pytest.raises(users.EmailTaken):
        users.create_user(session, new)
