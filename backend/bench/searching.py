"""Searching all segments of one user: the service against its own SQL on the driver's cursor."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.samplerows import sentence
from app.models import User
from app.services import search as service
from bench.figures import Clock, take_turns
from bench.places import engine_on, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from bench.figures import Bench

QUERIES = 120
PAGE_ROWS = 20
LARGE = {"transcript_segment", "media_file"}


def measure(bench: Bench) -> None:
    """Queries as people write them: words as often as they are said, mostly two or three. Nothing without `loading`."""
    if bench.loaded is None:
        bench.add("Search: left out, it needs the part loading", ("",), [])
        return
    run(bench.loaded, "VACUUM ANALYZE")
    with engine_on(bench.loaded) as engine, Session(engine) as session:
        user_id = session.scalars(select(User.id)).one()
        clock, scans = _measured(session, user_id, list(_queries()))
    rows = [
        (f"p{percent}", clock.percentile_ms("service", percent), clock.percentile_ms("bare", percent))
        for percent in (50, 95)
    ]
    title = f"Search over {bench.segments:,} segments of one user, {QUERIES} queries (goal: p95 ratio 1.3 or less)"
    bench.add(title, ("", "service ms", "bare SQL ms", "ratio"), [(*row, row[1] / row[2]) for row in rows])
    scanned = [(table, scans.get(table, 0)) for table in sorted(LARGE | scans.keys())]
    bench.add(
        f"Queries of {QUERIES} with a sequential scan (goal: none of large tables)", ("table", "queries"), scanned
    )


def _queries() -> Iterator[str]:
    rng = random.Random(5)  # noqa: S311 - the same queries each time
    for _ in range(QUERIES):
        yield sentence(rng, rng.choice((1, 2, 2, 3))).lower().rstrip(".")


def _measured(session: Session, user_id: int, queries: list[str]) -> tuple[Clock, dict[str, int]]:
    clock, scans = Clock(), dict[str, int]()
    connection = session.connection()
    compiled = service.statement().compile(connection)
    sql = str(compiled)
    for turn, q in enumerate(queries):
        values = {**compiled.params, **service.parameters(user_id, q, PAGE_ROWS)}
        for table in _scanned(connection, sql, values):
            scans[table] = scans.get(table, 0) + 1

        def by_service(q: str = q) -> None:
            with clock.time("service"):
                service.search(session, user_id, q, limit=PAGE_ROWS)

        def by_cursor(values: dict[str, Any] = values) -> None:
            with clock.time("bare"), closing(connection.connection.cursor()) as cursor:
                cursor.execute(sql, values)
                cursor.fetchall()

        by_service()  # both find the pages in memory
        clock.seconds["service"].pop()
        take_turns(turn, by_service, by_cursor)
    return clock, scans


def _scanned(connection: Connection, sql: str, values: dict[str, Any]) -> set[str]:
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", values).scalar_one()[0]["Plan"]
    return set(_sequential(plan))


def _sequential(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for below in node.get("Plans", []):
        yield from _sequential(below)
