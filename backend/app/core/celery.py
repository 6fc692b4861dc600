"""The Celery application: `celery --app app.core.celery:celery_app worker`. Its tasks are in app.tasks.

Messages only say what is to be done; the truth about it is in Postgres. So a task may be run twice, and each is written
for that: it is confirmed when it is done, and one whose worker died is delivered once more.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import structlog
from celery import Celery, signals

from app.core import logging
from app.core.config import settings

if TYPE_CHECKING:
    from celery import Task

_REDELIVERY_MARGIN_SECONDS = 600
_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""A server that vanished without a word is noticed after a minute."""

# The names of the modules, not the modules: those import this one.
celery_app = Celery("opentr", broker=settings.REDIS_URL, include=["app.tasks.transcription", "app.tasks.worker"])
celery_app.conf.update(
    accept_content=["json"],
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": settings.TASK_LONGEST_SECONDS + _REDELIVERY_MARGIN_SECONDS,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "socket_keepalive_options": _KEEPALIVE,
    },
    enable_utc=True,
    task_acks_late=True,
    task_ignore_result=True,
    task_reject_on_worker_lost=True,
    task_serializer="json",
    task_soft_time_limit=settings.TASK_LONGEST_SECONDS - 60,
    task_time_limit=settings.TASK_LONGEST_SECONDS,
    timezone="UTC",
    # Losing Redis for a moment is no reason to give up hours of work: what is done then is confirmed in Postgres.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_prefetch_multiplier=1,
    worker_proc_alive_timeout=30,
    worker_redirect_stdouts=False,
)


@signals.setup_logging.connect
def _log_our_way(**_: object) -> None:
    logging.configure(settings.LOG_LEVEL, settings.LOG_FORMAT)


@signals.task_prerun.connect
def _name_the_task(task_id: str, task: Task[..., object], **_: object) -> None:
    """All lines about it carry its id, and that of the request that it came from."""
    request_id = task.request.get("request_id")
    structlog.contextvars.bind_contextvars(task_id=task_id, **({"request_id": request_id} if request_id else {}))


@signals.task_postrun.connect
def _forget_the_task(**_: object) -> None:
    structlog.contextvars.clear_contextvars()
