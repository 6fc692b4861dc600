"""The application's own sessions, on the database that the workers have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.pool import NullPool

from app.db import base, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL


@pytest.fixture(autouse=True)
def _application(database: URL, as_role: Callable[[URL, str], URL]) -> Iterator[None]:
    """Directly: a test that takes the pool's connections away keeps its own."""
    engine = connect.engine_for(as_role(database, "app_rw"), application_name="tests", poolclass=NullPool)
    base.SessionLocal.configure(bind=engine)
    yield
    base.SessionLocal.configure(bind=base.engine)
    engine.dispose()


@pytest.fixture(scope="session", params=[17], ids=["pg17"])
def server_major(request: pytest.FixtureRequest) -> int:
    """The one that containers have: what workers say to the database is tested on both elsewhere."""
    major: int = request.param
    return major
