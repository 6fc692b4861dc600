from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from opentr import settings, state
from opentr.errors import ExitCode
from opentr.errors.state import LockHeld, StateNotOurs, StateOfAnother, StateOwned, StateUnreadable, StateUnwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.settings import Settings
    from opentr.state import State

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and mount file systems")
HOLD = """
import sys
from opentr import settings, state
chosen = settings.read("dev", {"OPENTR_ENV_FILE": "none", "OPENTR_STATE_DIR": sys.argv[1]})
with state.opened(chosen).locked("./opentr.sh reset dev"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def chosen(place: Path, environment: str = "dev", **variables: str) -> Settings:
    return settings.read(environment, {"OPENTR_ENV_FILE": "none", "OPENTR_STATE_DIR": str(place)} | variables)


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


@pytest.fixture
def opened(tmp_path: Path) -> State:
    return state.opened(chosen(tmp_path))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_folder_is_made_for_its_owner_alone_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        place = state.folder(chosen(tmp_path / "not yet" / "there"))
    finally:
        os.umask(before)
    assert place == tmp_path / "not yet" / "there" / "opentr-dev"
    assert mode(place) == 0o700


def test_a_folder_that_others_could_look_into_is_closed(tmp_path: Path):
    (tmp_path / "opentr-dev").mkdir(mode=0o755)
    assert mode(state.folder(chosen(tmp_path))) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(StateUnwritable) as caught:
        state.folder(chosen(place))
    assert str(place) in caught.value.what
    assert caught.value.exit_code is ExitCode.BLOCKED


@AS_ROOT
def test_another_users_state_is_refused(tmp_path: Path):
    place = state.folder(chosen(tmp_path))
    os.chown(place, 1, 1)
    with pytest.raises(StateOwned) as caught:
        state.opened(chosen(tmp_path))
    assert caught.value.what == f"{place} belongs to daemon, and you are root"
    assert caught.value.hint == "call it as daemon, without sudo"


def test_the_id_is_made_once(tmp_path: Path):
    first, second = state.opened(chosen(tmp_path)), state.opened(chosen(tmp_path))
    assert (first.id, first.key) == (second.id, second.key)
    assert len(first.id) == 16
    assert state.opened(chosen(tmp_path, "prod")).id != first.id


def test_two_that_make_the_state_at_once_get_the_same_id(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        assert len({each.id for each in pool.map(lambda _: state.opened(chosen(tmp_path)), range(16))}) == 1


def test_a_state_serves_one_project_and_one_environment(tmp_path: Path):
    state.opened(chosen(tmp_path, OPENTR_PROJECT="ours"))
    with pytest.raises(StateOfAnother) as caught:
        state.opened(chosen(tmp_path, "prod", OPENTR_PROJECT="ours"))
    assert "is the state of ours (dev), and this would be ours (prod)" in caught.value.what


def test_a_renamed_project_is_refused_where_the_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentr.settings.layers.CHECKOUT", tmp_path)
    state.opened(settings.read("dev", {}))
    with pytest.raises(StateOfAnother, match="would be other"):
        state.opened(settings.read("dev", {"OPENTR_PROJECT": "other"}))


def test_the_lock_tells_who_holds_it(tmp_path: Path, opened: State, holder: subprocess.Popen[str]):
    with pytest.raises(LockHeld) as caught, opened.locked("./opentr.sh stop dev"):
        pass
    held = f"./opentr.sh reset dev (pid {holder.pid}, for 0 s) is working on opentr-dev"
    assert caught.value.what.replace("for 1 s", "for 0 s") == held
    assert caught.value.hint == f"wait for its end, or end it with Ctrl-C in its terminal (kill {holder.pid})"
    assert str(opened.holder()).startswith(f"./opentr.sh reset dev (pid {holder.pid}, since ")
    assert json.loads((tmp_path / "opentr-dev" / "lock").read_text())["pid"] == holder.pid


def test_a_process_of_another_machine_start_or_with_a_reused_id_holds_nothing(tmp_path: Path, opened: State):
    lock = tmp_path / "opentr-dev" / "lock"
    with opened.locked("./opentr.sh reset dev"):
        held = json.loads(lock.read_text())
    for change in ({"boot": "another"}, {"started": "1"}):
        lock.write_text(json.dumps(held | change))
        assert opened.holder() is None
    lock.write_text(json.dumps(held | {"boot": "another", "host": "elsewhere"}))
    assert f"(pid {os.getpid()} on elsewhere, since " in str(opened.holder())


def test_a_killed_holder_holds_nothing(tmp_path: Path, opened: State, holder: subprocess.Popen[str]):
    holder.kill()
    holder.wait()
    assert (tmp_path / "opentr-dev" / "lock").read_text() != ""
    assert opened.holder() is None
    with opened.locked("./opentr.sh stop dev"):
        assert str(opened.holder()).startswith(f"./opentr.sh stop dev (pid {os.getpid()}")


def test_the_lock_is_free_afterwards_however_it_ended(opened: State):
    with pytest.raises(ZeroDivisionError), opened.locked("one"):
        raise ZeroDivisionError
    assert opened.holder() is None
    with opened.locked("two"):
        pass


def test_only_one_of_many_gets_the_lock(opened: State):
    got, barrier = [], threading.Barrier(8)

    def take(_: int) -> None:
        barrier.wait()
        try:
            with opened.locked("x"):
                got.append(1)
                barrier.wait()
        except LockHeld:
            barrier.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(8)))
    assert got == [1]


def test_a_record_is_read_as_it_was_written(opened: State):
    assert opened.read("swap") is None
    opened.write("swap", {"token": "ü", "at": 1})
    opened.write("swap", {"token": "ü", "at": 2})
    assert opened.read("swap") == {"token": "ü", "at": 2}
    opened.remove("swap")
    opened.remove("swap")
    assert opened.read("swap") is None


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_record_is_not_taken_for_none(opened: State, text: str):
    (opened.folder / "swap.json").write_text(text)
    with pytest.raises(StateUnreadable) as caught:
        opened.read("swap")
    assert caught.value.exit_code is ExitCode.OPERATOR


def test_services_can_read_what_is_installed_whatever_the_umask(opened: State):
    before = os.umask(0o077)
    try:
        opened.install({"config/redis/redis.conf": "a", "secrets/redis_users": "b", "compose.env": "c"})
    finally:
        os.umask(before)
    for folder in ("config", "config/redis", "secrets"):
        assert mode(opened.folder / folder) == 0o755
    for file in ("config/redis/redis.conf", "secrets/redis_users", "compose.env"):
        assert mode(opened.folder / file) == 0o444
    assert mode(opened.folder) == 0o700


def test_unchanged_files_are_not_touched(opened: State):
    opened.install({"config/redis/redis.conf": "a", "config/redis/more": "b"})
    kept, changed = (opened.folder / "config" / "redis" / name for name in ("redis.conf", "more"))
    before = (kept.stat().st_ino, changed.stat().st_ino)
    opened.install({"config/redis/redis.conf": "a", "config/redis/more": "c"})
    assert kept.stat().st_ino == before[0]
    assert changed.stat().st_ino != before[1]
    assert changed.read_text() == "c"


def test_leftovers_go_from_a_services_folder_and_from_nowhere_else(opened: State):
    opened.install({"config/redis/old": "a", "config/proxy/haproxy.cfg": "b", "secrets/mine": "c", "notes": "d"})
    opened.install({"config/redis/redis.conf": "a", "secrets/redis_users": "b"})
    there = {str(file.relative_to(opened.folder)) for file in opened.folder.rglob("*") if file.is_file()}
    assert there - {"id", "key", "project"} == {
        "config/redis/redis.conf",
        "config/proxy/haproxy.cfg",
        "secrets/mine",
        "secrets/redis_users",
        "notes",
    }


def test_what_a_killed_command_left_half_written_goes_but_not_what_is_being_written(opened: State):
    old, young = opened.folder / ".new-old", opened.folder / ".new-young"
    for file in (old, young):
        file.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    with opened.locked("x"):
        assert not old.exists()
        assert young.exists()


@AS_ROOT
def test_a_full_disk_is_told_and_leaves_the_old_content(tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
    try:
        opened = state.opened(chosen(small))
        opened.write("swap", {"token": 1})
        with pytest.raises(StateUnwritable) as caught:
            opened.write("swap", {"token": "x" * 100_000})
        assert os.strerror(errno.ENOSPC) in caught.value.what
        assert caught.value.hint.startswith("make room there")
        assert opened.read("swap") == {"token": 1}
        assert list(opened.folder.glob(".new-*")) == []
    finally:
        subprocess.run(["/bin/umount", small], check=True)


def test_tracebacks_are_appended(tmp_path: Path):
    state.record_traceback(chosen(tmp_path), ValueError("the first"), "./opentr.sh one")
    log = state.record_traceback(chosen(tmp_path), ValueError("the second"), "./opentr.sh two")
    text = log.read_text()
    assert (
        text.index("./opentr.sh one")
        < text.index("the first")
        < text.index("./opentr.sh two")
        < text.index("the second")
    )


def test_a_folder_that_holds_other_things_is_not_taken_for_a_state(state_dir: Path):
    chosen = settings.read("dev", {"OPENTR_STATE_DIR": str(state_dir), "OPENTR_ENV_FILE": "none"})
    chosen.state_dir.mkdir(parents=True)
    (chosen.state_dir / "thesis.txt").write_text("years of work")
    with pytest.raises(StateNotOurs, match="thesis"):
        state.opened(chosen)
    assert [each.name for each in chosen.state_dir.iterdir()] == ["thesis.txt"]
