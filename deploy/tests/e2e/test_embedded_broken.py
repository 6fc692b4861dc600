"""Local processes that can't come up: an app that is broken, a disk that is full. It is told, and nothing is lost."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.embedded import Processes, children, is_zombie, wait_until, works
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.embedded import MakeProcesses


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A checkout of the test's own; its .venv is ours."""
    return Tree.copy_to(tmp_path / "tree")


def test_an_app_that_can_not_start_is_told_with_its_last_words(make: MakeProcesses, tree: Tree):
    made = make(tree.root)
    with tree.broken_app():
        said = made("start")
        assert said.returncode == 5, said.stderr
        assert "broken on purpose" in said.stderr
        assert re.search(r"(api|worker) (ends again and again|runs, but its health check fails)", said.stderr)
        assert set(made.pids()) >= {"postgres", "redis"}
        assert made("health").returncode == 1
    made.done("start")
    works(made)


def answers(dev: Processes, path: str) -> bool:
    """Whether the API has this page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{dev.ports()['api']}{path}", timeout=30) as answer:
            return bool(answer.read())
    except OSError:
        return False


def test_code_that_is_changed_is_taken_on_by_itself(make: MakeProcesses, tree: Tree):
    made = make(tree.root)
    made.done("start")
    before = made.pids()
    tree.write("backend/app/main.py", tree.read("backend/app/main.py") + '\napp.get("/added")(lambda: "added")\n')
    wait_until(lambda: answers(made, "/added"))
    assert made.pids() == before


# A full disk.


@contextmanager
def disk(place: Path, megabytes: int) -> Iterator[None]:
    """A small disk at this folder."""
    if os.geteuid():
        assert os.environ.get("CI") != "true"
        pytest.skip("left out: only root can mount a small disk; call make test as root")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607


def fill(place: Path, rest: int) -> Path:
    """Leaves so many bytes free on the folder's disk; the file that does it."""
    filler, free = place / "filler", os.statvfs(place)
    length = free.f_bavail * free.f_frsize - rest
    subprocess.run(["fallocate", "--length", str(length), filler], check=True)  # noqa: S607
    return filler


@pytest.fixture
def small(make: MakeProcesses) -> Iterator[Processes]:
    """A project whose processes have 250 MB for all that they keep."""
    made = make()
    made("status")
    made.home.mkdir(parents=True)
    with disk(made.home, 250):
        yield made
        made.done("remove", "dev", "--yes")
        wait_until(lambda: made.processes() == [], 10)
    made.home.rmdir()


def test_on_a_full_disk_nothing_changes_and_it_works_when_there_is_room(small: Processes):
    small.done("start", "--profile", "infra")
    small.sql("INSERT INTO tag (name) VALUES ('kept')")
    filler = fill(small.home, 300_000)
    said = small("reset", "dev")
    assert said.returncode == 4, said.stderr
    assert "no room left" in said.stderr
    assert "docker" not in said.stderr.lower().partition("\n")[2]
    assert small.sql("SELECT name FROM tag WHERE name = 'kept'") == [("kept",)]
    filler.unlink()
    small.done("reset", "dev")
    assert small.sql("SELECT name FROM tag WHERE name = 'kept'") == []


def test_a_disk_that_is_full_from_the_start_is_told(small: Processes):
    filler = fill(small.home, 20 << 20)
    said = small("start", "--profile", "infra")
    assert said.returncode == 4, said.stderr
    assert "no room left" in said.stderr
    filler.unlink()
    small.done("start", "--profile", "infra")
    assert small("health").returncode == 0


def test_what_makes_room_needs_none(make: MakeProcesses):
    made = make()
    with disk(made.folder, 2):
        made.done("start", "--profile", "infra")
        fill(made.folder, 0)
        log = made.state / "opentr.log"
        log.write_bytes(log.read_bytes().ljust(-(-log.stat().st_size // 4096) * 4096, b"\n"))  # its last page, too
        said = made("start")
        assert said.returncode == 4, said.stderr
        assert "No space left" in said.stderr
        for command in (("stop", "dev", "redis"), ("stop",), ("purge", "dev", "--confirm", "dev")):
            said = made(*command)
            assert (said.returncode, "Traceback" in said.stderr) == (0, False), said.stderr
        assert made.left() == []


# A machine on which nobody asks how orphans have ended.

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def unreaped() -> Iterator[None]:
    """Orphans of ours become our children, and stay zombies meanwhile: as in a container whose first process is any."""
    own = ctypes.CDLL(None)
    own.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    yield
    own.prctl(_PR_SET_CHILD_SUBREAPER, 0)
    for pid in filter(is_zombie, children(os.getpid())):
        os.waitpid(pid, 0)


@pytest.mark.usefixtures("unreaped")
def test_what_was_killed_and_is_still_a_zombie_is_taken_for_dead(make: MakeProcesses):
    made = make()
    made.done("start", "--profile", "infra")
    killed = [made.supervisor(), *made.pids().values()]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(is_zombie(pid) for pid in killed))
    assert all(Path(f"/proc/{pid}").exists() for pid in killed)
    made.done("start", "--profile", "infra")
    assert not set(made.pids().values()) & set(killed)
    made.done("purge", "dev", "--confirm", "dev")
