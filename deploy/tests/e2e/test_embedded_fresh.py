"""The README's first steps on a fresh clone, by a user who isn't root, on a machine without a Docker engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.embedded import SERVICES, Processes, wait_until
from tests.speech import record, spoken, word_error_rate
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
DEEP = "it's a folder with spaces, and far too deep for the path of a socket, which may have 107 bytes at most"
WORST_ERROR_RATE = 0.25
_PIP = (".config/pip/pip.conf", ".pip/pip.conf")
"""The user's own configuration of pip, below the home folder: what leads to packages here leads there."""


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A folder that another user may enter: pytest's own are private."""
    place = Path(tempfile.mkdtemp(prefix="opentr-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture(scope="module")
def clone(base: Path) -> Path:
    """What git knows, and what it would take, in a folder of the user's. Nothing was installed there."""
    tree = Tree.copy_to(base / DEEP / "OpenTranscribe")
    (tree.root / ".venv").unlink()
    shutil.rmtree(tree.root / ".cache")
    return tree.root


@pytest.fixture(scope="module")
def somebody(base: Path, clone: Path) -> Iterator[Processes]:
    """The user's own dev, with the state where it is by default."""
    home, temporary = base / "home", base / "tmp"
    for file in _PIP:
        if (Path.home() / file).is_file():
            (home / file).parent.mkdir(parents=True)
            shutil.copyfile(Path.home() / file, home / file)
    for folder in (home, temporary):
        folder.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("PATH", "LANG")}
    own = kept | {"HOME": str(home), "TMPDIR": str(temporary)}
    made = Processes(clone / ".opentr", clone, user=own, before=_as_another(base))
    yield made
    made.remove()


def _as_another(base: Path) -> tuple[str, ...]:
    """The words that make root another user, to whom all below the folder is given; a plain user stays who it is."""
    if os.geteuid():
        return ("env",)
    for folder, _, files in os.walk(base):
        for place in (folder, *(f"{folder}/{name}" for name in files)):
            os.chown(place, NOBODY, NOBODY)
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def owners(pids: list[int]) -> set[int]:
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


def test_from_a_clone_to_a_transcript_and_back_to_nothing(somebody: Processes, base: Path):
    said = somebody("reset", "dev")
    assert said.returncode == 0, said.stderr
    assert "installing the Python packages" in said.stderr
    assert f"{somebody.project} as local processes (no Docker engine answers" in said.stderr
    assert somebody.password("admin") in said.stdout
    assert somebody.json("health")["services"] == dict.fromkeys(SERVICES, "healthy")
    assert owners(somebody.processes()) == {NOBODY if os.geteuid() == 0 else os.geteuid()}
    recording = record(base / "a talk.mp3", spoken())
    recording.chmod(0o644)
    assert word_error_rate(somebody.done("transcribe", str(recording), "--text")) < WORST_ERROR_RATE
    before = somebody.pids()
    somebody.done("reset", "dev")
    assert somebody.pids() == before
    somebody.done("stop", TMPDIR=str(base / "home"))  # another one than the sockets are in
    wait_until(lambda: somebody.processes() == [])
    somebody.done("purge", "dev", "--confirm", "dev")
    assert somebody.left() == []
    assert list((base / "tmp").glob("opentr-*")) == []


def test_sockets_are_in_the_state_where_that_is_near(somebody: Processes, base: Path):
    near = Processes(base / "home" / "state", somebody.checkout, user=somebody.user, before=somebody.before)
    try:
        near.done("start", "--profile", "infra")
        assert near("health").returncode == 0
        assert (near.state / "processes/run/supervisord.sock").is_socket()
    finally:
        near.remove()
