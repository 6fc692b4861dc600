"""Releases, as their users see them: planned, deployed, listed, taken back. Under load: test_deploy_load.py.

The tests go on from one another, in their order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.stacks import CHECKOUT
from tests.trees import CATALOGS, Tree

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

HEAD = max(file.stem for file in (CHECKOUT / CATALOGS).glob("*.json"))
ADDED = f"{int(HEAD) + 1:04d}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree.copy_to(tmp_path_factory.mktemp("tree") / "tree")


@pytest.fixture(scope="module")
def prod(stacks: MakeStack, tree: Tree) -> Stack:
    made = stacks(checkout=tree.root)
    made.done("start", "prod")
    return made


def status(prod: Stack) -> tuple[object, ...]:
    found = json.loads(prod.done("status", "prod", "--json"))
    return found["release"], found["database"]["revision"], found["healthy"]


def containers(prod: Stack) -> dict[str, str]:
    return {name: each.id for name, each in prod.containers().items()}


def serving(prod: Stack) -> str:
    found: str = json.loads((prod.state / "release.json").read_text())["current"]
    return found


def test_a_plan_names_what_is_pending_and_changes_nothing(prod: Stack, tree: Tree):
    before, release = containers(prod), serving(prod)
    tree.set_version("0.2.0")
    tree.add_revision("Colour of tags", "ALTER TABLE tag ADD COLUMN colour varchar(20)")
    tree.commit("Colours", tag="v0.2.0")
    told = prod.done("deploy", "prod", "--plan")
    assert f"pending: {ADDED} (Colour of tags)" in told
    assert f"read their SQL: ./opentr.sh db sql --from {HEAD}" in told
    assert "with another image: api, worker" in told
    assert (containers(prod), serving(prod)) == (before, release)
    assert not (prod.state / "journal").exists()
    assert len(list((prod.state / "releases").iterdir())) == 1
    assert status(prod) == ("0.1.0", HEAD, True)


def test_all_that_is_in_the_way_is_told_at_once_and_nothing_is_changed(prod: Stack):
    before = containers(prod)
    prod.done("psql", "prod", "--write", "-c", "CREATE TABLE strange (id int)")
    said = prod("deploy", "prod", OPENTR_WORKER_MEMORY="900g")
    prod.done("psql", "prod", "--write", "-c", "DROP TABLE strange")
    assert said.returncode == 4, said.stderr
    assert "2 things are in the way, and nothing was changed; 0.1.0-" in said.stderr
    assert "OPENTR_WORKER_MEMORY=900g is more than this machine's" in said.stderr
    assert f"the schema isn't that of revision {HEAD}: table strange" in said.stderr
    assert containers(prod) == before
    assert status(prod) == ("0.1.0", HEAD, True)


def test_a_deploy_brings_revision_and_images_and_says_what_it_did(prod: Stack):
    before, images = containers(prod), {name: each.image for name, each in prod.containers().items()}
    told = prod.done("deploy", "prod")
    assert f"database  revision {ADDED}, 1 new: {ADDED}" in told
    assert ", proven" in told
    assert status(prod) == ("0.2.0", ADDED, True)
    now = {name: each.image for name, each in prod.containers().items()}
    assert {name for name in now if now[name] != images[name]} == {"api", "worker"}
    # What has changed neither its image nor its configuration is the same container as before.
    kept = {name for name, each in containers(prod).items() if before[name] == each}
    assert {"postgres", "pgbouncer", "redis"} <= kept
    (entry,) = [each for each in json.loads(prod.done("deploy", "history", "--json")) if each["outcome"] == "done"]
    assert (entry["release"], entry["revision"], entry["way"]) == (serving(prod), ADDED, "deploy")
    shown = prod.done("deploy", "show", entry["id"])
    assert all(phase in shown for phase in ("preflight", "backup", "prove", "migrate", "roll", "verify"))


def test_a_rollback_brings_the_release_before_back_on_the_schema_as_it_is(prod: Stack):
    assert "bring up 0.1.0-" in prod.done("rollback", "prod", "--plan")
    assert status(prod)[0] == "0.2.0"
    told = prod.done("rollback", "prod")
    assert f"database  revision {ADDED}, as it was" in told
    assert status(prod) == ("0.1.0", ADDED, True)


def test_what_was_rolled_back_stays_so_over_a_restart(prod: Stack):
    prod.done("stop", "prod")
    prod.done("start", "prod")
    assert status(prod) == ("0.1.0", ADDED, True)


def test_a_tag_is_deployed_whatever_is_checked_out(prod: Stack, tree: Tree):
    tree.set_version("0.3.0-unfinished")
    told = prod.done("deploy", "prod", "--to", "v0.2.0")
    assert "serving   0.2.0-" in told
    assert status(prod) == ("0.2.0", ADDED, True)
    assert tree.read("VERSION") == "0.3.0-unfinished\n"


def test_clean_keeps_the_images_of_the_release_and_of_the_one_before(prod: Stack):
    record = json.loads((prod.state / "release.json").read_text())
    kept = [json.loads((prod.state / f"releases/{record[name]}.json").read_text()) for name in ("current", "previous")]
    prod.done("clean", "prod", "--yes")
    for release in kept:
        assert all(prod.engine.image(reference) for reference in release["images"].values())
    prod.done("rollback", "prod")
    assert status(prod)[0] == "0.1.0"


def test_what_is_neither_a_release_nor_a_tag_is_refused(prod: Stack):
    said = prod("deploy", "prod", "--to", "9.9.9")
    assert said.returncode == 2
    assert said.stderr.splitlines()[-2] == "9.9.9 is neither a release that was deployed here nor a git tag"
