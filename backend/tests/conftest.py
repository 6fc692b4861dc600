"""What all backend tests share: real servers of several versions, a database per test, a real PgBouncer in between."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.core.config import Settings
from app.db import base, connect
from tests.redis_server import RedisServer, own_redis
from tests.servers import EMPTY, HEAD, Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from sqlalchemy import URL, Engine

    from tests.pgbouncer import PgBouncer

# A shell that starts us in the background ignores Ctrl-C, and so would all the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

_SHOWN_LOG_LINES = 40
_servers = pytest.StashKey[Servers]()
_log_sizes = pytest.StashKey[dict["Path", int]]()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    """All servers of this process; a test that needs one of a certain version asks here."""
    with contextlib.ExitStack() as stack:
        pytestconfig.stash[_servers] = Servers(stack)
        yield pytestconfig.stash[_servers]
        del pytestconfig.stash[_servers]


@pytest.fixture(scope="session", params=[18, 17], ids=["pg18", "pg17"])
def server_major(request: pytest.FixtureRequest) -> int:
    """The versions that everything is tested on."""
    major: int = request.param
    return major


@pytest.fixture(scope="session")
def server(servers: Servers, server_major: int) -> URL:
    """Superuser's URL of the database `postgres` on a server that has had roles.sql."""
    return servers.get(server_major).url


@pytest.fixture(scope="session")
def pg15(servers: Servers) -> URL:
    """Superuser's URL of a PostgreSQL 15 server that has had roles.sql."""
    return servers.get(15).url


@pytest.fixture
def empty_database(servers: Servers, server_major: int) -> Iterator[URL]:
    """Superuser's URL of a database with roles and grants, without tables."""
    with servers.get(server_major).clone(EMPTY) as url:
        yield url


@pytest.fixture
def database(servers: Servers, server_major: int) -> Iterator[URL]:
    """Superuser's URL of a database as init_db.sql makes it, owned by app_owner."""
    with servers.with_head(server_major).clone(HEAD) as url:
        yield url


@pytest.fixture(scope="session")
def as_role(servers: Servers) -> Callable[[URL, str], URL]:
    """A function: the URL of the same database for another role, over TCP with its password."""

    def url_for(url: URL, role: str) -> URL:
        server = servers.owner_of(url)
        return url.set(username=role, password=server.passwords[role], host="127.0.0.1", port=server.url.port, query={})

    return url_for


@pytest.fixture
def session(database: URL, as_role: Callable[[URL, str], URL]) -> Iterator[Session]:
    """An ORM session on `database`, as app_rw."""
    engine = connect.engine_for(as_role(database, "app_rw"), application_name="tests", poolclass=NullPool)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def pool(servers: Servers, server_major: int) -> PgBouncer:
    """The PgBouncer in front of `server`."""
    return servers.pool(server_major)


@pytest.fixture
def pooled_database(pool: PgBouncer, database: URL, as_role: Callable[[URL, str], URL]) -> URL:
    """URL of `database` as app_rw, through PgBouncer in transaction mode."""
    return pool.through(as_role(database, "app_rw"))


@pytest.fixture(scope="session")
def broker() -> Iterator[RedisServer]:
    """A Redis that nobody stops."""
    with own_redis() as server:
        yield server


@pytest.fixture
def own_broker() -> Iterator[RedisServer]:
    """A Redis of the test's own, to stop and start."""
    with own_redis() as server:
        yield server


@pytest.fixture(params=["direct", "pooled"])
def application(request: pytest.FixtureRequest, database: URL, as_role: Callable[[URL, str], URL]) -> Iterator[Engine]:
    """The application's engine and `SessionLocal` on `database` as app_rw: directly, again through PgBouncer."""
    url, pooled = as_role(database, "app_rw"), request.param == "pooled"
    if pooled:
        url = request.getfixturevalue("pool").through(url)
    settings = Settings(DATABASE_URL=url.render_as_string(hide_password=False), DB_BEHIND_POOLER=pooled)
    engine = base.make_engine(settings)
    base.SessionLocal.configure(bind=engine)
    yield engine
    base.SessionLocal.configure(bind=base.engine)
    engine.dispose()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remembers where the servers' logs stand before the test."""
    found = item.config.stash.get(_servers, None)
    item.stash[_log_sizes] = {path: path.stat().st_size for path in found.logs().values()} if found else {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows with a failed test what the servers logged during it."""
    report = yield
    found = item.config.stash.get(_servers, None)
    if report.failed and found:
        sizes = item.stash.get(_log_sizes, {})
        for name, path in found.logs().items():
            with path.open("rb") as log:
                log.seek(sizes.get(path, 0))
                lines = log.read().decode(errors="replace").splitlines()[-_SHOWN_LOG_LINES:]
            if lines:
                report.sections.append((f"log of {name}", "\n".join(lines)))
    return report
