"""The API itself, its database reached directly and through PgBouncer: requests a second, and how long they take."""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from app.models import FileTag, Tag, User
from bench.places import api_settings, engine_on, signed_in
from tests.pgbouncer import run_pgbouncer
from tests.recordings import add_file
from tests.servers import HEAD
from tests.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL

    from bench.figures import Bench

FILES, TAGS = 50, 4
PROCESSES, CLIENTS = 2, 16
SECONDS, ROUNDS = 3.0, 5
PATH = f"/api/files?limit={FILES}"


def measure(bench: Bench) -> None:
    """The same listing both ways, in rounds that take turns."""
    with ExitStack() as stack:
        url = stack.enter_context(bench.server.clone(HEAD))
        own = url.set(username="app_rw", password=bench.server.passwords["app_rw"], host="127.0.0.1", query={})
        folder, settings = api_settings(stack, own)
        token = signed_in(own)
        _fill(own)
        pool = stack.enter_context(run_pgbouncer(bench.server.url, bench.server.passwords))
        pooled = {"DATABASE_URL": pool.through(own).render_as_string(hide_password=False), "DB_BEHIND_POOLER": "true"}
        ways = {"direct": settings, "through PgBouncer": settings | pooled}
        ports = {way: _serving(stack, folder / way, given) for way, given in ways.items()}
        waits: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, port in ports.items():
                waits[way] += _load(port, token)
    rates = {way: len(found) / (SECONDS * ROUNDS) for way, found in waits.items()}
    rows = [[way, rate, rate / rates["direct"], *_percentiles(waits[way])] for way, rate in rates.items()]
    title = f"GET {PATH} ({TAGS} tags each): {PROCESSES} processes of the API, {CLIENTS} clients"
    bench.add(title, ("database", "requests/s", "of direct", "p50 ms", "p95 ms"), rows)


def _fill(url: URL) -> None:
    with engine_on(url) as engine, Session(engine) as session, session.begin():
        user = session.query(User).one()
        tags = [Tag(name=f"tag {number}") for number in range(TAGS)]
        session.add_all(tags)
        files = [add_file(session, user, filename=f"{number}.mp3") for number in range(FILES)]
        session.flush()
        session.add_all([FileTag(media_file_id=file.id, tag_id=tag.id) for file in files for tag in tags])


def _serving(stack: ExitStack, folder: Path, settings: dict[str, str]) -> int:
    folder.mkdir()
    api = stack.enter_context(serving(folder, PROCESSES, **settings))
    api.until_ready()
    return int(api.port)


def _load(port: int, token: str) -> list[float]:
    """Seconds that each request took that was begun in the time."""
    found: list[list[float]] = [[] for _ in range(CLIENTS)]
    until = time.monotonic() + SECONDS
    clients = [threading.Thread(target=partial(_ask, port, token, waits, until)) for waits in found]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return [wait for waits in found for wait in waits]


def _ask(port: int, token: str, waits: list[float], until: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while (began := time.monotonic()) < until:
        connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{answer.status} from port {port}")
        waits.append(time.monotonic() - began)
    connection.close()


def _percentiles(waits: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(waits, n=100)
    return cuts[49] * 1000, cuts[94] * 1000
