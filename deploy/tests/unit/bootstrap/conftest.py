"""Clones to install in, and machines that have or lack what that takes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.clones import INSTALLING, Packages, call, clone, locked, pack_click, pack_empty, pack_redis

if TYPE_CHECKING:
    from pathlib import Path

# What opentr.sh and venv.sh start, other than Python; a Debian has them all.
PROGRAMS = ("awk", "bash", "cat", "chmod", "dirname", "env", "flock", "id", "ln", "mkdir", "mv", "readlink", "rm")
PROGRAMS += ("sha256sum", "tail", "touch")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [pack_click(folder), pack_empty(folder, "sqlalchemy"), pack_empty(folder, "psycopg2")]
    return Packages("".join(map(locked, wheels)), locked(pack_redis(folder)), folder)


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


@pytest.fixture
def bare(tmp_path: Path, online: dict[str, str]) -> dict[str, str]:
    """An environment with the programs that every Debian has, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).symlink_to(str(shutil.which(name)))
    return online | {"PATH": str(folder)}
