"""Figures over transcripts, in the background."""

from __future__ import annotations

from celery import shared_task
from sqlalchemy.exc import OperationalError

from app.db.session_utils import session_scope
from app.services import analytics
from app.services.transcripts import MediaFileMissing


@shared_task(
    name="analytics.refresh",
    autoretry_for=(OperationalError,),
    retry_backoff=True,
    retry_backoff_max=60,
    max_retries=10,
    throws=(MediaFileMissing,),
    soft_time_limit=120,
    time_limit=150,
)
def refresh(media_file_id: int) -> None:
    """Computes a file's figures anew; running it twice leaves what running it once does."""
    with session_scope() as session:
        analytics.refresh(session, media_file_id)
