"""The tool is killed in each phase of a deploy: the next command finishes or reverts it, and no write is lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.deploying import aftermath, at_work, journal, loaded, revision
from tests.e2e.watching import sql, wait_until
from tests.e2e.writers import faults, writing
from tests.trees import Tree

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A checkout of this module's."""
    return Tree.copy_to(tmp_path_factory.mktemp("trees") / "tree")


@pytest.fixture(scope="module")
def prod(stacks: MakeStack, tree: Tree) -> Stack:
    """A running prod stack of that checkout."""
    return loaded(stacks, tree)


def killed(prod: Stack, then: str, at: str, *, when: str = "") -> str:
    """Kills a deploy when this phase has begun, and this SQL is true; types `then` under load; what that said."""
    with writing(prod) as load:
        with at_work(prod, "deploy", "prod") as deploy:
            deploy.wait_for(at)
            wait_until(lambda: not when or sql(prod, when) == "t" or deploy.ended)
            deploy.kill()
        cut_short = journal(prod)[-1]
        assert not cut_short.closed
        load.wait_for_more()
        said = prod(*then.split())
        assert said.returncode == 0, said.stderr
        assert re.search("^the deploy .* is (finished|reverted)", said.stderr, re.MULTILINE), said.stderr
        load.wait_for_more()
    assert faults(prod, load) == []
    assert aftermath(prod) == []
    assert next(each for each in journal(prod) if each.id == cut_short.id).closed
    return said.stderr


@pytest.mark.parametrize(
    ("phase", "then"),
    [
        ("preflight", "deploy prod"),
        ("backup", "start prod"),
        ("prove", "deploy prod"),
        ("migrate", "start prod"),
        ("roll", "start prod"),
        ("verify", "deploy prod"),
    ],
)
def test_the_next_command_ends_what_was_killed(prod: Stack, tree: Tree, phase: str, then: str):
    before = revision(prod)
    wanted = tree.add_revision(f"Killed in {phase}", f"ALTER TABLE tag ADD COLUMN killed_in_{phase} bigint")
    killed(prod, then, phase)
    reached = revision(prod)
    assert reached == wanted if then == "deploy prod" else before <= reached <= wanted


def test_a_migrator_that_outlives_the_tool_is_not_left_alone(prod: Stack, tree: Tree):
    """It is in the middle of a revision when the tool is killed."""
    sleeping = ("SELECT pg_sleep(5)", "ALTER TABLE tag ADD COLUMN slept bigint")
    wanted = tree.add_revision("Killed while it sleeps", *sleeping)
    asleep = "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%' AND state = 'active'"
    killed(prod, "start prod", "migrate", when=asleep)
    prod.done("deploy", "prod")
    assert revision(prod) == wanted
    assert aftermath(prod) == []


def test_a_roll_that_is_killed_between_two_services_ends_with_one_release(prod: Stack, tree: Tree):
    tree.add_revision("Killed between services", "ALTER TABLE tag ADD COLUMN between_services bigint")
    before = prod.containers()["api"].id
    with writing(prod) as load:
        with at_work(prod, "deploy", "prod") as deploy:
            deploy.wait_for("roll")
            wait_until(lambda: _other_api(prod, before) or deploy.ended)
            deploy.kill()
        said = prod("deploy", "prod")
        assert said.returncode == 0, said.stderr
        load.wait_for_more()
    assert faults(prod, load) == []
    assert aftermath(prod) == []
    assert revision(prod) == tree.head()


def _other_api(prod: Stack, before: str) -> bool:
    there = prod.containers().get("api")
    return there is None or there.id != before
