from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest
from sqlalchemy import URL, make_url, text

from app.db import binaries, connect, errors, scratch

if TYPE_CHECKING:
    from collections.abc import Callable

_PARENT = """
import os, signal, sys
from app.db.scratch import scratch_server
with scratch_server() as url:
    child = os.fork()
    if child == 0:  # it outlives its parent and has all its pipes
        signal.alarm(60)
        signal.pause()
    print(child, url, flush=True)
    sys.stdin.read()
"""


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen"
        time.sleep(0.05)


def _answers(url: URL) -> bool:
    try:
        psycopg2.connect(user="postgres", dbname="postgres", host=str(url.query["host"]), port=url.port).close()
    except psycopg2.OperationalError:
        return False
    return True


def _scalar(url: URL, statement: str) -> object:
    with connect.direct(url, "tests") as connection:
        return connection.scalar(text(statement))


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty temporary folder that the server account can enter, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    folder.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_dies_with_its_parent_and_leaves_nothing(temporary: Path, sent: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | {"PYTHONPATH": str(binaries.CHECKOUT / "backend")},
    ) as parent:
        assert parent.stdout
        child, address = parent.stdout.readline().split()
        url = make_url(address)
        assert _answers(url)
        parent.send_signal(sent)
        parent.wait(30)
    _until(lambda: not _answers(url))
    _until(lambda: not list(temporary.iterdir()))
    os.kill(int(child), signal.SIGKILL)
    temporary.rmdir()


def test_a_server_dies_with_its_killed_keeper(temporary: Path) -> None:
    with scratch.scratch_server() as url:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
        keeper = next(
            pid for pid in children if str(temporary) in Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        )
        os.kill(int(keeper), signal.SIGKILL)
        _until(lambda: not _answers(url))
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def test_a_server_ends_at_once_though_a_client_is_connected(temporary: Path) -> None:
    with scratch.scratch_server() as url:
        left_open = psycopg2.connect(user="postgres", dbname="postgres", host=str(url.query["host"]), port=url.port)
        started = time.monotonic()
    assert time.monotonic() - started < scratch._STOP_SECONDS  # noqa: SLF001 - it wasn't waited for
    left_open.close()
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def test_a_setting_that_the_server_refuses_is_shown_from_its_log(temporary: Path) -> None:
    with pytest.raises(errors.ScratchServerFailed, match="unrecognized configuration parameter"):  # noqa: SIM117
        with scratch.scratch_server(settings={"no_such_setting": "1"}):
            pytest.fail("it started")
    assert list(temporary.iterdir()) == []
    temporary.rmdir()


def test_programs_that_are_not_there_are_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(errors.ServerBinaryMissing, match=str(tmp_path)), scratch.scratch_server(tmp_path):
        pytest.fail("it started")
    with pytest.raises(errors.ServerBinaryMissing, match="PostgreSQL 9"):
        scratch.find_server(9)


def test_a_port_that_somebody_took_meanwhile_is_changed(monkeypatch: pytest.MonkeyPatch, server: URL) -> None:
    taken, free = server.port, scratch.free_port()
    ports = iter([taken, taken, free])
    monkeypatch.setattr(scratch, "free_port", lambda: next(ports))
    with scratch.scratch_server() as url:
        assert url.port == free


def test_sockets_get_a_short_path_where_the_temporary_folder_has_a_long_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with scratch.scratch_server() as url:
        assert _scalar(url, "SELECT 1") == 1
    assert not Path(str(url.query["host"])).exists()


def test_settings_go_over_the_fast_ones() -> None:
    with scratch.scratch_server(settings={"autovacuum": "on", "application_name": "it's one"}) as url:
        assert _scalar(url, "SHOW autovacuum") == "on"
        assert _scalar(url, "SHOW fsync") == "off"
        assert _scalar(url, "SHOW server_encoding") == "UTF8"


def test_only_this_account_is_superuser_and_the_rest_needs_a_password(
    server: URL, as_role: Callable[[URL, str], URL]
) -> None:
    over_tcp = server.set(host="127.0.0.1", query={})
    with pytest.raises(errors.LoginRefused):
        _scalar(over_tcp, "SELECT 1")
    right = as_role(server, "app_rw")
    assert _scalar(right, "SELECT current_user") == "app_rw"
    with pytest.raises(errors.LoginRefused):
        _scalar(right.set(password="wrong"), "SELECT 1")  # noqa: S106
    with pytest.raises(errors.LoginRefused):
        _scalar(server.set(username="app_rw"), "SELECT 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root can be another account")
def test_another_account_does_not_get_in_over_the_socket(server: URL) -> None:
    folder = str(server.query["host"])
    nobody = binaries.server_account()
    assert nobody
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(nobody[1])
        os.setuid(nobody[0])
        try:
            psycopg2.connect(user="postgres", dbname="postgres", host=folder, port=server.port)
        except psycopg2.OperationalError as error:
            os._exit(42 if "Peer authentication failed" in str(error) else 43)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_a_database_is_dropped_with_its_sessions(server: URL) -> None:
    with scratch.scratch_database(server, name='odd "name') as url:
        assert _scalar(url, "SELECT current_database()") == 'odd "name'
        engine = connect.engine_for(url, application_name="tests")
        held = engine.connect()
        held.execute(text("SELECT 1"))
    assert not _scalar(server, "SELECT count(*) FROM pg_database WHERE datname LIKE 'odd%'")
    held.invalidate()
    engine.dispose()


def test_a_database_is_a_copy_of_its_template_and_belongs_to_its_owner(server: URL, database: URL) -> None:
    with scratch.scratch_database(server, database.database, owner="app_ro") as url:
        assert _scalar(url, "SELECT count(*) FROM tag") == 4
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert _scalar(url, owner) == "app_ro"


def test_preparing_twice_changes_nothing(empty_database: URL) -> None:
    acl = "SELECT datacl::text FROM pg_database WHERE datname = current_database()"
    before = _scalar(empty_database, acl)
    scratch.prepare(empty_database)
    assert _scalar(empty_database, acl) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="left out: only root hands servers to another account")
@pytest.mark.parametrize("major", [18, 17])
def test_programs_below_a_private_folder_are_copied_to_where_the_server_account_can_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: int
) -> None:
    bindir = scratch.find_server(major).resolve()
    base, parts = binaries._installation_of(bindir / "postgres")  # noqa: SLF001 - to make such a place
    tmp_path.chmod(0o700)
    for part in parts:
        subprocess.run(["cp", "-a", base / part, tmp_path / part], check=True)  # noqa: S607
    if base == binaries.FETCHED:
        monkeypatch.setattr(binaries, "FETCHED", tmp_path)
    with scratch.scratch_server(tmp_path / bindir.relative_to(base)) as url:
        assert str(_scalar(url, "SHOW server_version")).startswith(f"{major}.")


def test_programs_whose_path_a_shell_would_read_are_copied(tmp_path: Path) -> None:
    bindir = scratch.find_server(18).resolve()
    base, parts = binaries._installation_of(bindir / "postgres")  # noqa: SLF001 - to make such a place
    odd = tmp_path / 'my "$HOME"'
    odd.mkdir()
    for part in parts:
        subprocess.run(["cp", "-a", base / part, odd / part], check=True)  # noqa: S607
    with scratch.scratch_server(odd / bindir.relative_to(base)) as url:
        assert str(_scalar(url, "SHOW server_version")).startswith("18.")


def test_a_server_lies_in_memory_where_there_is_plenty(monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")  # noqa: S108 - the default
    monkeypatch.setattr(scratch, "SHARED_MEMORY", temporary)
    for plenty, on_disk, there in ((1, False, True), (1, True, False), (1 << 60, False, False)):
        monkeypatch.setattr(scratch, "_MEMORY_BYTES", plenty)
        with scratch.scratch_server(on_disk=on_disk) as url:
            assert (Path(str(url.query["host"])).parent == temporary) is there
        assert list(temporary.iterdir()) == []
    temporary.rmdir()
