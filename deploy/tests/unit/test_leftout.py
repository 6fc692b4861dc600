"""What a run of tests says last, where this machine lacks something that they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.leftout import DOCKER

CHECKOUT = Path(__file__).resolve().parents[3]
TESTS = """
import pytest
from tests.stacks import reachable_engine

@pytest.fixture
def engine():
    return reachable_engine()

@pytest.mark.parametrize("number", range(3))
def test_in_containers(engine, number): pass

def test_without(): pass

@pytest.mark.skipif(True, reason="left out: only root can")
def test_as_root(): pass
"""


def run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(TESTS)
    clean = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    argv = [sys.executable, "-m", "pytest", "-c", CHECKOUT / "pyproject.toml", "--rootdir", folder, *options, folder]
    given = clean | {"DOCKER_HOST": "unix:///nowhere/docker.sock"} | environment
    return subprocess.run(argv, env=given, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("--numprocesses", "2")], ids=["alone", "in-parallel"])
def test_the_last_words_are_what_was_left_out_and_how_to_run_it(tmp_path: Path, options: tuple[str, ...]):
    said = run(tmp_path, *options)
    assert said.returncode == 0, said.stdout + said.stderr
    counted, *last = said.stdout.splitlines()[-3:]
    assert "1 passed, 4 skipped" in counted
    assert last == [f"left out: 3 tests {DOCKER}", "left out: 1 test because: only root can"]


def test_nothing_left_out_is_nothing_said(tmp_path: Path):
    said = run(tmp_path, "-k", "test_without")
    assert "1 passed" in said.stdout.splitlines()[-1]


def test_in_ci_nothing_is_left_out_for_want_of_an_engine(tmp_path: Path):
    said = run(tmp_path, CI="true")
    assert said.returncode == 1
    assert "1 passed, 1 skipped, 3 errors" in said.stdout
