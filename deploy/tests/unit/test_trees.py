"""The copies of the checkout that other tests change."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.trees import Tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree.copy_to(tmp_path / "a tree")


def test_its_tool_runs_its_own_code_and_installs_nothing(tree: Tree, environment: dict[str, str]):
    tree.change("deploy/opentr/cli/main.py", "from __future__ import annotations\n", "raise SystemExit('its own')\n")
    environment_before = (tree.root / ".venv").readlink()
    said = subprocess.run([tree.root / "opentr.sh"], env=environment, capture_output=True, text=True, check=False)
    assert said.stderr == "its own\n"
    assert (tree.root / ".venv").readlink() == environment_before


def test_a_revision_comes_with_the_catalog_that_it_makes(tree: Tree):
    before = tree.head()
    made = tree.add_revision("Colours", "ALTER TABLE tag ADD COLUMN colour integer")
    old, new = (json.loads(tree.read(f"backend/alembic/catalogs/{each}.json")) for each in (before, made))
    assert tree.head() == made
    assert new == old | {"column tag.colour": "integer"}
    tree.drop_revision(made)
    assert tree.head() == before
