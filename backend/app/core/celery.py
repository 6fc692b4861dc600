"""The Celery application: `celery --app app.core.celery:celery_app worker`. Its tasks are in app.tasks.

Messages only say what is to be done; the truth about it is in Postgres. So a task may be run twice, and each is written
for that: it is confirmed when it is done, and one whose worker died is delivered once more.
"""

from __future__ import annotations

import os
import signal
import socket
import threading

import billiard
import structlog
from celery import Celery, signals

from app.core import logging
from app.core.config import settings

_REDELIVERY_MARGIN_SECONDS = 600
_KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""A server that vanished without a word is noticed after a minute."""

# The names of the modules, not the modules: those import this one.
celery_app = Celery("opentr", broker=settings.REDIS_URL, include=["app.tasks.analytics"])
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
def _name_the_task(task_id: str, **_: object) -> None:
    structlog.contextvars.bind_contextvars(task_id=task_id)


@signals.task_postrun.connect
def _forget_the_task(**_: object) -> None:
    structlog.contextvars.clear_contextvars()


@signals.worker_shutting_down.connect
def _stop_in_time(how: str, **_: object) -> None:
    """After a SIGTERM tasks may go on for a while; then they are ended, and their messages are back in the queue.

    What Docker kills instead would lie there until the visibility timeout. Celery's own soft shutdown isn't used: it
    takes all of its time where nothing is left to do, and then waits for a task that is inside of a library.
    """
    if how == "Warm":
        limit = threading.Timer(settings.WORKER_STOP_SECONDS, _give_back)
        limit.daemon = True
        limit.start()


def _give_back() -> None:
    os.kill(os.getpid(), signal.SIGQUIT)
    for process in billiard.active_children():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
