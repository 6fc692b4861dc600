"""Shapes of SQLAlchemy's pool, straight to Postgres and through PgBouncer: short requests of many threads."""

from __future__ import annotations

import statistics
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.db import connect, errors
from app.models import User
from bench.places import APPLICATION_NAME
from tests.pgbouncer import run_pgbouncer
from tests.recordings import add_user
from tests.servers import HEAD

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from bench.figures import Bench

THREADS = 16
SECONDS = 1.5
ROUNDS = 3
SHAPES: dict[str, dict[str, Any]] = {
    "NullPool": {"poolclass": NullPool},
    "QueuePool 2 + 3": {"pool_size": 2, "max_overflow": 3},
    "QueuePool 5 + 10": {"pool_size": 5, "max_overflow": 10},
    "QueuePool 5 + 10, pre-ping": {"pool_size": 5, "max_overflow": 10, "pool_pre_ping": True},
    "QueuePool 20 + 30": {"pool_size": 20, "max_overflow": 30},
    "QueuePool 20 + 30, pre-ping": {"pool_size": 20, "max_overflow": 30, "pool_pre_ping": True},
}


def measure(bench: Bench) -> None:
    """Requests a second of each shape, both ways, in rounds that take turns."""
    with bench.server.clone(HEAD) as url:
        own = url.set(username="app_rw", password=bench.server.passwords["app_rw"], host="127.0.0.1", query={})
        try:
            with run_pgbouncer(bench.server.url, bench.server.passwords) as pool:
                _measure(bench, {"direct": own, "through PgBouncer": pool.through(own)})
        except errors.ServerBinaryMissing as missing:
            _measure(bench, {"direct": own})
            bench.add(f"Through PgBouncer: left out. {missing.what}; {missing.hint}", ("",), [])


def _measure(bench: Bench, ways: dict[str, URL]) -> None:
    engine = connect.engine_for(ways["direct"], application_name=APPLICATION_NAME, poolclass=NullPool)
    with Session(engine) as session, session.begin():
        user_id = add_user(session).id
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for shape, options in SHAPES.items():
            for way, url in ways.items():
                rates.setdefault((shape, way), []).append(_rate(url, options, user_id))
    best = {way: max(statistics.median(rates[shape, way]) for shape in SHAPES) for way in ways}
    rows = []
    for shape in SHAPES:
        medians = [(statistics.median(rates[shape, way]), best[way]) for way in ways]
        rows.append([shape, *(figure for rate, top in medians for figure in (rate, rate / top))])
    columns = ["pool", *(name for way in ways for name in (f"{way}: requests/s", "of the best"))]
    bench.add(f"{THREADS} threads of one process, a session and a SELECT by key each time", _distinct(columns), rows)


def _distinct(columns: list[str]) -> list[str]:
    return [name + " " * columns[:index].count(name) for index, name in enumerate(columns)]


def _rate(url: URL, options: dict[str, Any], user_id: int) -> float:
    engine = connect.engine_for(url, application_name=APPLICATION_NAME, **options)
    counts = [0] * THREADS
    until = time.monotonic() + SECONDS
    threads = [threading.Thread(target=partial(_requests, engine, user_id, counts, n, until)) for n in range(THREADS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.dispose()
    return sum(counts) / (time.monotonic() - started)


def _requests(engine: Engine, user_id: int, counts: list[int], number: int, until: float) -> None:
    while time.monotonic() < until:
        with Session(engine) as session:
            session.execute(select(User.email).where(User.id == user_id)).one()
        counts[number] += 1
