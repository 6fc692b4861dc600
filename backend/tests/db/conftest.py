"""Databases in the states that the verbs have to understand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.db import chain, migrate, scratch
from tests.db.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL

    from tests.servers import Servers

CONTRACT = Path(__file__).with_name("contract.sql")


@pytest.fixture(params=[18, 17, 15], ids=["pg18", "pg17", "pg15"])
def contract_database(request: pytest.FixtureRequest, servers: Servers) -> Iterator[URL]:
    """Superuser's URL of a database that OpenTranscribe made by its own SQL, with rows, owned by postgres."""
    with scratch.scratch_database(servers.get(request.param).url) as url:
        scratch.execute_file(url, CONTRACT)
        yield url


@pytest.fixture
def migrated(empty_database: URL) -> Callable[[str], URL]:
    """A function: the empty database, migrated to a revision as the superuser."""

    def to(revision: str) -> URL:
        found = chain.known(revision)
        assert found
        migrate.migrate(empty_database, found)
        return empty_database

    return to


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A copy of the checkout to change, in a folder with a space in its name."""
    return Tree.copy_to(tmp_path / "a checkout")
