"""The task `transcription.run`: claims what a message names, has it transcribed, and sees to it that it ends somehow.

A recording's own fault ends in `error`, in words for its owner. What isn't its fault (database, media store or engine
away) leaves it waiting, to be sent again by the sweeper.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg2
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import exc

from app.core.celery import celery_app
from app.core.config import settings
from app.db.session_utils import session_scope
from app.services import messages, pipeline, work
from app.services.transcripts import MediaFileMissing
from app.storage.errors import StoreUnavailable
from app.tasks import worker
from app.tasks.lease import Lease
from app.transcription.errors import EngineUnavailable, Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    Ending = Callable[[Session], None]

DATABASE_AWAY = (
    exc.OperationalError,
    exc.InterfaceError,
    exc.TimeoutError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
RETRY_SECONDS = 2.0
_log = structlog.stdlib.get_logger("app.tasks")


@celery_app.task(name=messages.TASK_NAME)
def run(task_id: str) -> None:
    """Transcribes the recording that the task is about, unless somebody does or it is done."""
    holder = f"{worker.NAME}/{os.getpid()}/{uuid4().hex}"
    with session_scope() as session:
        claim = work.claim(session, task_id, holder)
    if claim is None:
        _log.info("nothing to do: done, cancelled, or somebody works on it")
        return
    with Lease(claim) as lease:
        try:
            _transcribe(claim, lease)
        except (work.LeaseLost, MediaFileMissing):
            _log.info("stopped: cancelled, deleted, or taken over")


def _transcribe(claim: work.Claim, lease: Lease) -> None:
    """Does the work, or stores why not. Raises `LeaseLost`, `MediaFileMissing`."""
    try:
        pipeline.transcribe_file(claim, lease.report, partial(_settle, lease))
    except (work.LeaseLost, MediaFileMissing):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the task ends, or waits for another try
        _settle(lease, _ending(claim, error))


def _ending(claim: work.Claim, error: Exception) -> Ending:
    """What becomes of the task: it fails, it waits, or, where nobody foresaw the error, it fails the second time."""
    match error:
        case Unusable():
            return _failed(claim, str(error))
        case SoftTimeLimitExceeded():
            hours = settings.TASK_LONGEST_SECONDS / 3600
            return _failed(claim, f"its transcription took longer than {hours:g} hours; upload the recording in parts")
        case _ if (what := _away(error)) is not None:
            _log.warning("given back", reason=what, error=str(error))
            return lambda session: work.give_back(session, claim, what)
    _log.error("transcription failed", attempt=claim.attempt, exc_info=error)
    reason = f"something went wrong on our side ({type(error).__name__})"
    if claim.attempt < work.MOST_ATTEMPTS:
        return lambda session: work.give_back(session, claim, reason, counted=True)
    return _failed(claim, f"{reason}; your administrator finds task {claim.task_id} in the log")


def _failed(claim: work.Claim, reason: str) -> Ending:
    _log.info("the recording can't be transcribed", reason=reason)
    return lambda session: work.fail(session, claim, reason)


def _away(error: Exception) -> str | None:
    """What isn't there at the moment, in words for the file's owner; None: it isn't that."""
    if isinstance(error, DATABASE_AWAY):
        return "the database was not available"
    if isinstance(error, StoreUnavailable):
        return "the media store is not available"
    if isinstance(error, EngineUnavailable):
        return "the engine can't be loaded; your administrator finds the reason in the log"
    return None


def _settle(lease: Lease, ending: Ending) -> None:
    """Stores the end, however long the database is away: else the lease would run out and count as a killed worker."""
    while True:
        try:
            with session_scope() as session:
                ending(session)
        except DATABASE_AWAY as error:
            _log.warning("the task's end is not stored; tried again", reason=type(error).__name__)
            lease.wait(RETRY_SECONDS)
        else:
            return
