from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import QueuePool

from app.core.config import Settings
from app.db import base, connect
from app.models.media import Tag
from tests.pgbouncer import POOL_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection, Engine


DatabaseSession = Annotated[Session, Depends(base.get_db)]
_BY_HAND = """
CREATE TABLE parent (one integer PRIMARY KEY, two integer NOT NULL CHECK (two > 0), UNIQUE (one, two));
CREATE TABLE child (a integer PRIMARY KEY, b integer UNIQUE, CHECK (a < b),
                    FOREIGN KEY (a, b) REFERENCES parent (one, two));
CREATE INDEX ON child (a, b)
"""


def _in_models() -> MetaData:
    metadata = MetaData(naming_convention=base.POSTGRES_NAMES)
    one, two = Column("one", Integer, primary_key=True), Column("two", Integer, nullable=False)
    Table("parent", metadata, one, two, UniqueConstraint("one", "two"), CheckConstraint(two > 0))
    a, b = Column("a", Integer, primary_key=True), Column("b", Integer, unique=True)
    parent = ForeignKeyConstraint(["a", "b"], ["parent.one", "parent.two"])
    Table("child", metadata, a, b, CheckConstraint(a < b), parent)
    Index(None, a, b)
    return metadata


def _names(connection: Connection) -> dict[str, set[str | None]]:
    found = inspect(connection)
    names: dict[str, set[str | None]] = {}
    for table in ("parent", "child"):
        names |= {
            f"{table} pk": {found.get_pk_constraint(table)["name"]},
            f"{table} uq": {key["name"] for key in found.get_unique_constraints(table)},
            f"{table} fk": {key["name"] for key in found.get_foreign_keys(table)},
            f"{table} ck": {check["name"] for check in found.get_check_constraints(table)},
            f"{table} ix": {index["name"] for index in found.get_indexes(table)},
        }
    return names


def test_constraints_without_a_name_get_the_one_that_postgres_would_give(empty_database: URL) -> None:
    engine = connect.engine_for(empty_database, application_name="tests")
    with engine.connect() as connection, connection.begin():
        connection.execute(text(_BY_HAND))
        by_postgres = _names(connection)
        connection.execute(text("DROP TABLE child, parent"))
        _in_models().create_all(connection)
        assert _names(connection) == by_postgres
    engine.dispose()


def test_a_given_name_stays_and_a_check_in_sql_text_needs_one() -> None:
    metadata = MetaData(naming_convention=base.POSTGRES_NAMES)
    named = Table("named", metadata, Column("a", Integer), CheckConstraint("a > 0", name="mine"))
    assert "mine" in {constraint.name for constraint in named.constraints}
    with pytest.raises(ValueError, match="a check on unnamed is SQL text"):
        Table("unnamed", metadata, Column("a", Integer), CheckConstraint("a > 0"))


def _pool_of(settings: Settings) -> dict[str, object]:
    pool = base.make_engine(settings).pool
    assert isinstance(pool, QueuePool)
    return {
        "size": pool.size(),
        "overflow": pool._max_overflow,  # noqa: SLF001 - it shows them nowhere else
        "recycle": pool._recycle,  # noqa: SLF001
        "ping": pool._pre_ping,  # noqa: SLF001
        "timeout": pool.timeout(),
    }


def test_the_pool_follows_the_settings() -> None:
    direct, behind = _pool_of(Settings()), _pool_of(Settings(DB_BEHIND_POOLER=True))
    assert direct == {"size": 20, "overflow": 30, "recycle": 3600, "ping": True, "timeout": 30}
    assert behind == {"size": 5, "overflow": 10, "recycle": 3600, "ping": False, "timeout": 30}
    assert _pool_of(Settings(DB_BEHIND_POOLER=True, DB_POOL_SIZE=3))["size"] == 3


def test_the_applications_engine_connects_to_nothing_when_imported() -> None:
    assert base.engine.pool.status().startswith("Pool size: 20  Connections in pool: 0 Current Overflow: -20")


def _count_tags(engine: Engine, name: str) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).where(Tag.name == name)) or 0


@pytest.fixture
def client(application: Engine) -> Iterator[TestClient]:
    api = FastAPI()

    @api.post("/tags/{name}")
    def create(name: str, db: DatabaseSession, fail: str = "") -> int:
        db.add(Tag(name=name))
        db.flush()
        if fail == "http":
            raise HTTPException(418)
        if fail:
            raise RuntimeError(fail)
        db.commit()
        return db.connection().connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr, no-any-return]

    with TestClient(api, raise_server_exceptions=False) as client:
        yield client
    assert isinstance(application.pool, QueuePool)
    assert application.pool.checkedout() == 0


def test_a_request_has_a_session_that_is_closed_after_it(client: TestClient, application: Engine) -> None:
    assert client.post("/tags/kept").status_code == 200
    assert _count_tags(application, "kept") == 1


@pytest.mark.parametrize(("fail", "status"), [("http", 418), ("boom", 500)])
def test_an_error_in_the_endpoint_rolls_back(client: TestClient, application: Engine, fail: str, status: int) -> None:
    assert client.post("/tags/lost", params={"fail": fail}).status_code == status
    assert _count_tags(application, "lost") == 0


def test_an_endpoints_own_error_outlives_its_connection(client: TestClient, database: URL) -> None:
    administrator = connect.engine_for(database, application_name="tests")

    @client.app.get("/gone")  # type: ignore[attr-defined, untyped-decorator]
    def gone(db: DatabaseSession) -> None:
        pid = db.scalar(text("SELECT pg_backend_pid()"))
        with administrator.connect() as connection:
            assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        raise HTTPException(404)

    status = client.get("/gone").status_code
    administrator.dispose()
    assert status == 404


def test_get_db_can_be_overridden(client: TestClient, session: Session, application: Engine) -> None:
    override: Callable[[], Session] = lambda: session  # noqa: E731
    client.app.dependency_overrides[base.get_db] = override  # type: ignore[attr-defined]
    assert client.post("/tags/theirs").status_code == 200
    assert session.in_transaction()
    assert _count_tags(application, "theirs") == 1


def test_a_killed_connection_is_replaced_by_the_ping(database: URL, as_role: Callable[[URL, str], URL]) -> None:
    url = as_role(database, "app_rw").render_as_string(hide_password=False)
    engine = base.make_engine(Settings(DATABASE_URL=url, DB_POOL_SIZE=1))
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    administrator = connect.engine_for(database, application_name="tests")
    with administrator.connect() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != pid
    administrator.dispose()
    engine.dispose()


def test_settings_of_one_transaction_reach_no_other_through_the_pool(pooled_database: URL) -> None:
    engine = base.make_engine(Settings(DATABASE_URL=pooled_database.render_as_string(hide_password=False)))
    make = sessionmaker(engine)
    for _ in range(8):
        with make() as session, session.begin():
            session.execute(text("SET LOCAL search_path = ''"))
            session.execute(text("SET LOCAL statement_timeout = '1ms'"))
    connections = [engine.connect() for _ in range(POOL_SIZE)]
    pids = {connection.scalar(text("SELECT pg_backend_pid()")) for connection in connections}
    paths = {connection.scalar(text("SHOW search_path")) for connection in connections}
    timeouts = {connection.scalar(text("SHOW statement_timeout")) for connection in connections}
    for connection in connections:
        connection.close()
    engine.dispose()
    assert len(pids) == POOL_SIZE, "every server connection was asked"
    assert (paths, timeouts) == ({'"$user", public'}, {"1min"}), "the server's and the role's own"
