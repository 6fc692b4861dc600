"""Speakers."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import CurrentUser, DatabaseSession, committed
from app.api.errors import problems
from app.api.parameters import Id, PageWanted, page_rows
from app.models import Speaker
from app.schemas.media import SpeakerCreate, SpeakerRead, SpeakerUpdate
from app.services import speakers

router = APIRouter(prefix="/api/speakers", tags=["speakers"], responses=problems(401))


@router.get("", response_model=list[SpeakerRead])
def list_speakers(response: Response, user: CurrentUser, db: DatabaseSession, wanted: PageWanted) -> Any:  # noqa: ANN401
    """The caller's own, oldest first."""
    return page_rows(response, speakers.listing(db, user.id, **wanted))


@router.post("")
def create_speaker(new: SpeakerCreate, user: CurrentUser, db: DatabaseSession) -> SpeakerRead:
    """A new speaker."""
    return committed(db, SpeakerRead, speakers.create(db, user.id, new))


@router.get("/{speaker_id:int}", response_model=SpeakerRead, responses=problems(404))
def show_speaker(speaker_id: Id, user: CurrentUser, db: DatabaseSession) -> Speaker:
    """One speaker."""
    return speakers.one(db, user.id, speaker_id)


@router.put("/{speaker_id:int}", responses=problems(404))
def change_speaker(speaker_id: Id, changes: SpeakerUpdate, user: CurrentUser, db: DatabaseSession) -> SpeakerRead:
    """Changes what is given, and leaves the rest."""
    return committed(db, SpeakerRead, speakers.change(db, user.id, speaker_id, changes))


@router.delete("/{speaker_id:int}", status_code=204, responses=problems(404))
def delete_speaker(speaker_id: Id, user: CurrentUser, db: DatabaseSession) -> None:
    """Deletes a speaker; what it said stays, said by nobody."""
    speakers.remove(db, user.id, speaker_id)
    db.commit()


@router.post("/{speaker_id:int}/merge/{target_id:int}", responses=problems(404))
def merge_speakers(speaker_id: Id, target_id: Id, user: CurrentUser, db: DatabaseSession) -> SpeakerRead:
    """Moves what the speaker said to the target, and deletes the speaker; answers the target."""
    return committed(db, SpeakerRead, speakers.merge(db, user.id, speaker_id, target_id))
