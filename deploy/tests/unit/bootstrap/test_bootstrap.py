"""`opentr.sh` and `scripts/venv.sh` in clones, with click as the only package that is really installed."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clones import INSTALLING, POWERLESS, Packages, call

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)


def test_the_second_call_says_nothing_and_starts_no_installation(installed: Path, offline: dict[str, str]):
    said = call(installed / "opentr.sh", "--version", env=offline)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", "")


def test_it_can_be_called_through_links(installed: Path, offline: dict[str, str], tmp_path: Path):
    (tmp_path / "first").symlink_to(installed / "opentr.sh")
    (tmp_path / "second").symlink_to("first")
    assert call("./second", "--version", env=offline, cwd=tmp_path).stdout == "0.1.0\n"


def test_both_packages_are_seen_from_anywhere(installed: Path, offline: dict[str, str]):
    code = "import app, opentr; print(app.__file__, opentr.__file__, sep='\\n')"
    said = call(installed / ".venv/bin/python", "-c", code, env=offline)
    assert said.stdout.splitlines() == [
        f"{installed}/backend/app/__init__.py",
        f"{installed}/deploy/opentr/__init__.py",
    ]


def test_a_moved_checkout_is_installed_anew(installed: Path, online: dict[str, str], tmp_path: Path):
    moved = tmp_path / "moved"
    shutil.copytree(installed, moved, symlinks=True)
    said = call(moved / "opentr.sh", "--version", env=online)
    assert (said.returncode, said.stderr) == (0, INSTALLING)
    where = call(moved / ".venv/bin/python", "-c", "import opentr; print(opentr.__file__)", env=online)
    assert where.stdout.startswith(str(moved))


def test_a_new_lock_is_installed_and_a_failure_leaves_the_old_packages(
    installed: Path, offline: dict[str, str], tmp_path: Path
):
    place = tmp_path / "copy"
    shutil.copytree(installed, place, symlinks=True)
    lock = place / "deploy/requirements.txt"
    lock.write_text(lock.read_text() + "no-such-package==1 --hash=sha256:" + 64 * "0" + "\n")
    before = (place / ".venv").readlink()

    said = call(place / "opentr.sh", "--version", env=offline)
    assert (said.returncode, said.stdout) == (1, "")
    what, hint = said.stderr.splitlines()[-2:]
    assert what == f"The Python packages could not be installed (all of the output: {place}/.cache/venv/install.log)."
    assert hint == "Mend what it names above, then type the same command again."
    assert (place / ".venv").readlink() == before


def test_going_back_to_the_lock_before_installs_nothing(
    installed: Path, online: dict[str, str], offline: dict[str, str], tmp_path: Path
):
    place = tmp_path / "copy"
    shutil.copytree(installed, place, symlinks=True)
    lock = place / "deploy/requirements.txt"
    before = lock.read_text()
    for text in (before, before + "# another one\n"):
        lock.write_text(text)
        assert call(place / "opentr.sh", "--version", env=online).stderr == INSTALLING
    lock.write_text(before)
    said = call(place / "opentr.sh", "--version", env=offline)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", "")


def test_a_package_that_is_not_the_locked_one_is_refused(checkout: Path, online: dict[str, str]):
    lock = checkout / "deploy/requirements.txt"
    first, *others = lock.read_text().splitlines(keepends=True)
    name, digest = first.split("sha256:")
    lock.write_text("".join([f"{name}sha256:{digest[::-1].strip()}\n", *others]))
    said = call(checkout / "opentr.sh", "--version", env=online)
    assert said.returncode == 1
    assert "could not be installed" in said.stderr
    assert not (checkout / ".venv").exists()


def test_packages_of_the_callers_pythonpath_are_not_taken_for_installed(
    checkout: Path, packages: Packages, online: dict[str, str], tmp_path: Path
):
    theirs = tmp_path / "theirs"
    for wheel in packages.folder.iterdir():
        zipfile.ZipFile(wheel).extractall(theirs)
    said = call(checkout / "opentr.sh", "--version", env=online | {"PYTHONPATH": str(theirs)})
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING)


def test_an_environment_that_lacks_something_is_not_taken_for_complete(checkout: Path, online: dict[str, str]):
    lock = checkout / "deploy/requirements.txt"
    lock.write_text("".join(line for line in lock.read_text().splitlines(keepends=True) if "psycopg2" not in line))
    said = call(checkout / "opentr.sh", "--version", env=online)
    assert said.returncode == 1
    assert "No module named 'psycopg2'" in said.stderr
    assert said.stderr.splitlines()[-2].startswith("The Python packages could not be installed (all of the output: ")
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("place", ["", "venv", "venv/lock", "venv/install.log"])
def test_files_that_a_call_with_sudo_left_are_said_with_the_command_that_mends_it(
    checkout: Path, online: dict[str, str], place: str
):
    cache = checkout / ".cache"
    (cache / "venv").mkdir(parents=True)
    for name in ("lock", "install.log"):
        (cache / "venv" / name).touch()
    (cache / place).chmod(0o555)
    said = call(*POWERLESS, checkout / "opentr.sh", "--version", env=online)
    (cache / place).chmod(0o755)
    user = getpass.getuser()
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        f"{cache / place} can not be written by {user}: was this called with sudo before?",
        f"Type: sudo chown -R {user} '{cache}'",
    ]


def test_an_interrupted_installation_is_begun_again(checkout: Path, online: dict[str, str]):
    with waiting_for_its_index(checkout, online) as started:
        os.killpg(started.pid, signal.SIGINT)
        _, stderr = started.communicate()
    assert (started.returncode, stderr) == (130, INSTALLING)
    assert not (checkout / ".venv").exists()

    said = call(checkout / "opentr.sh", "--version", env=online)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING)


def test_a_second_call_waits_for_the_first_and_goes_on_if_that_is_killed(checkout: Path, online: dict[str, str]):
    with waiting_for_its_index(checkout, online) as first:
        second = start(checkout, online)
        assert second.stderr is not None
        assert second.stderr.readline() == "opentr: waiting for another call that is installing Python packages ...\n"
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    stdout, stderr = second.communicate()
    assert (second.returncode, stdout, stderr) == (0, "0.1.0\n", INSTALLING)


def test_of_two_calls_at_once_one_installs_and_both_work(checkout: Path, online: dict[str, str]):
    calls = [start(checkout, online) for _ in range(2)]
    said = [call.communicate() for call in calls]
    assert [(call.returncode, stdout) for call, (stdout, _) in zip(calls, said, strict=True)] == [(0, "0.1.0\n")] * 2
    assert "".join(stderr for _, stderr in said).count("installing the") == 1


def start(checkout: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    """A call in a process group of its own, as a shell makes one for each command."""
    argv = [checkout / "opentr.sh", "--version"]
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)


@contextmanager
def waiting_for_its_index(checkout: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A call whose pip has asked an index that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        address = f"http://127.0.0.1:{index.getsockname()[1]}/"
        asking = {name: value for name, value in env.items() if name not in ("PIP_NO_INDEX", "PIP_FIND_LINKS")}
        started = start(checkout, asking | {"PIP_INDEX_URL": address, "NO_PROXY": "127.0.0.1"})
        connection, _ = index.accept()
        with connection:
            yield started


def test_a_venv_of_somebody_else_is_left_alone(checkout: Path, online: dict[str, str]):
    (checkout / ".venv").mkdir()
    said = call(checkout / "opentr.sh", "--version", env=online)
    assert said.returncode == 1
    assert said.stderr == (
        f"{checkout}/.venv was not made by this script.\nType: mv '{checkout}/.venv' '{checkout}/.venv.old'\n"
    )


def add_python(bare: dict[str, str], name: str, patch: str = "", version: str = "") -> None:
    """Puts an interpreter on the PATH: this one, after a patch that makes it look like another one."""
    program = Path(bare["PATH"]) / name
    program.write_text(
        f"""#!/bin/bash
if [[ $1 == --version ]]; then echo "{version}"; exit; fi
if [[ $1 == -Ic ]]; then exec "{sys.executable}" -Ic "import sys; {patch or "pass"}; exec(sys.argv[1])" "$2"; fi
exec "{sys.executable}" "$@"
"""
    )
    program.chmod(0o755)


OLD = "sys.version_info = (3, 9, 2)"
TOO_NEW = "sys.version_info = (3, 15, 0)"
WITHOUT_VENV = "sys.modules['ensurepip'] = None"


def test_missing_python_is_said_with_the_packages_to_install(checkout: Path, bare: dict[str, str]):
    said = call(checkout / "opentr.sh", "--version", env=bare)
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        "Python is not installed: the packages python3 and python3-venv are missing.",
        "Type: sudo apt install python3 python3-venv",
    ]


@pytest.mark.parametrize(("patch", "version"), [(OLD, "Python 3.9.2"), (TOO_NEW, "Python 3.15.0")])
def test_a_python_that_does_not_fit_is_said_with_its_version(
    checkout: Path, bare: dict[str, str], patch: str, version: str
):
    add_python(bare, "python3", patch, version)
    said = call(checkout / "opentr.sh", "--version", env=bare)
    assert said.returncode == 1
    assert said.stderr.splitlines()[0] == f"Python 3.11 to 3.14 is needed, and python3 is {version}."


def test_a_missing_venv_module_is_said_with_its_package(checkout: Path, bare: dict[str, str]):
    add_python(bare, "python3", WITHOUT_VENV)
    said = call(checkout / "opentr.sh", "--version", env=bare)
    assert said.returncode == 1
    assert said.stderr.splitlines() == [
        "python3 cannot make virtual environments: the package python3-venv is missing.",
        "Type: sudo apt install python3-venv",
    ]


def test_another_python_is_taken_if_python3_does_not_fit(checkout: Path, bare: dict[str, str]):
    add_python(bare, "python3", OLD, "Python 3.9.2")
    add_python(bare, "python3.14", "raise SystemExit('this one is broken')")
    add_python(bare, "python3.12")
    said = call(checkout / "opentr.sh", "--version", env=bare)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING)
