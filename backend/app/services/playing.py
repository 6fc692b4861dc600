"""What playing a recording takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.models import MediaFile, User
from app.services.transcripts import MediaFileMissing

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Playable:
    """A recording, as far as a player needs to know it."""

    filename: str
    content_type: str
    storage_path: str
    file_size: int
    upload_time: datetime


def playable(session: Session, user_id: int, media_file_id: int) -> Playable:
    """The recording of this user, who must be active. Raises `MediaFileMissing`."""
    columns = [getattr(MediaFile, name) for name in Playable.__dataclass_fields__]
    stmt = select(*columns).join(MediaFile.user)
    found = session.execute(stmt.where(MediaFile.id == media_file_id, User.id == user_id, User.is_active)).one_or_none()
    if found is None:
        raise MediaFileMissing(media_file_id)
    return Playable(*found)
