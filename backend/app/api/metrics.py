"""Figures for Prometheus: what is counted at each request, and what is asked when somebody looks.

Several processes of one API add theirs up in the folder that PROMETHEUS_MULTIPROC_DIR names.
Source: prometheus-client's manual, "Multiprocess Mode".
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import psycopg2
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import event

from app.core.config import settings
from app.db import deadline
from app.db.connect import parse_url
from app.models import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from app.core.config import Settings

_METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600)
_DEADLINE_SECONDS = 2.0
_COUNTS = ", ".join(f"count(*) FILTER (WHERE status = '{status}')" for status in TaskStatus)
_QUESTION = f"SELECT {_COUNTS} FROM public.task"  # noqa: S608 - the statuses are ours

if settings.PROMETHEUS_MULTIPROC_DIR is not None:  # the metrics below open their files in it
    settings.PROMETHEUS_MULTIPROC_DIR.mkdir(parents=True, exist_ok=True)

REQUEST_SECONDS = Histogram(
    "opentr_request_seconds", "Duration of requests.", ("method", "route", "status"), buckets=_BUCKETS
)
UPLOADED_BYTES = Counter("opentr_uploaded_bytes", "Bytes of recordings that were received.")
CONNECTIONS = Gauge(
    "opentr_database_connections_in_use", "Connections that requests hold.", multiprocess_mode="livesum"
)


class Measured:
    """Counts each request and its duration by the route that answered it, not by its path: there are few of those."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on, and counts it when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path_format", "none")
            REQUEST_SECONDS.labels(method, route, status).observe(time.perf_counter() - began)


def watch_pool(engine: Engine) -> None:
    """Counts the connections that are in use."""
    event.listen(engine, "checkout", lambda *_: CONNECTIONS.inc())
    event.listen(engine, "checkin", lambda *_: CONNECTIONS.dec())


def forget_this_process() -> None:
    """Takes a process that ends out of the sums of what is now."""
    if settings.PROMETHEUS_MULTIPROC_DIR is not None:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


def exposition(given: Settings) -> bytes:
    """All figures in Prometheus' text format; without those about tasks where the database doesn't answer in time."""
    asked = CollectorRegistry()
    asked.register(_Tasks(given))
    return _counted() + generate_latest(asked)


def _counted() -> bytes:
    if settings.PROMETHEUS_MULTIPROC_DIR is None:
        return generate_latest()
    added_up = CollectorRegistry()
    multiprocess.MultiProcessCollector(added_up)  # type: ignore[no-untyped-call]
    return generate_latest(added_up)


class _Tasks:
    """How many tasks there are of each status."""

    def __init__(self, given: Settings) -> None:
        self._settings = given

    def collect(self) -> Iterator[GaugeMetricFamily]:
        url, name = parse_url(self._settings.DATABASE_URL), self._settings.APPLICATION_NAME
        try:
            counts = deadline.ask(url, _QUESTION, _DEADLINE_SECONDS, name)
        except (TimeoutError, psycopg2.Error):
            return
        family = GaugeMetricFamily("opentr_tasks", "Tasks by status.", labels=["status"])
        for status, count in zip(TaskStatus, counts, strict=True):
            family.add_metric([status], count)
        yield family
