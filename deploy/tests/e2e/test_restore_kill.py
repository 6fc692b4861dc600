"""`restore prod FILE`, killed anywhere: the next command finishes it or takes it back, and nothing is left of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_restore import CONFIRMED, add, killed_at, outcomes, serves, tags
from tests.e2e.watching import LIVE, PREVIOUS, databases, generations, sql

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

DUMPED = "only_in_the_dump"
SWAP = ("swap it in", "which database is replaced")


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """A running prod stack."""
    made = stacks()
    made.done("start", "prod")
    return made


@pytest.fixture(scope="module")
def dump(prod: Stack) -> str:
    """A dump of its own, with a tag that the live database hasn't got."""
    add(prod, DUMPED)
    made = json.loads(prod.done("reset", "prod", *CONFIRMED, "--json"))
    return str(made["dump"]["file"])


@pytest.mark.parametrize("step", ["restore ", "compare what is there", "stop what writes", *SWAP])
def test_killed_anywhere_the_next_command_ends_it(prod: Stack, dump: str, step: str):
    sql(prod, f"DROP DATABASE IF EXISTS {PREVIOUS} WITH (FORCE)", "postgres")
    sql(prod, f"DELETE FROM tag WHERE name = '{DUMPED}'")
    add(prod, "live")
    killed_at(prod, step, "restore", "prod", dump, *CONFIRMED)
    assert outcomes(prod)[-1] == "open"
    prod.done("start", "prod")
    swapped = DUMPED in tags(prod)
    assert outcomes(prod)[-1] == ("done" if swapped else "reverted")
    assert step in SWAP or not swapped
    assert swapped or "live" in tags(prod)
    assert databases(prod) == ({LIVE, PREVIOUS} if swapped else {LIVE})
    assert len(generations(prod)) == 1
    assert serves(prod)
