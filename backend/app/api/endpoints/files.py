"""Recordings; uploading and playing them are in uploads.py."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from app.api.deps import CurrentUser, DatabaseSession, Store, committed
from app.api.errors import problems
from app.api.parameters import FilesWanted, Id, PageWanted, page_rows
from app.models import MediaFile
from app.schemas.media import (
    MediaFileDetail,
    MediaFileTagged,
    MediaFileUpdate,
    MetadataFilters,
    TaskRead,
    TranscriptSegmentUpdate,
)
from app.services import corrections, files, messages

router = APIRouter(prefix="/api/files", tags=["files"], responses=problems(401))

_MOST_CHANGES = 100_000


@router.get("", response_model=list[MediaFileTagged])
def list_files(
    response: Response, user: CurrentUser, db: DatabaseSession, wanted: FilesWanted, part: PageWanted
) -> Any:  # noqa: ANN401
    """The caller's own, newest first: all, or `limit` of them, and then the header X-Next-Cursor asks for the rest.

    Filters narrow: a file has all the tags and speakers that are given. A date without a time is the whole day.
    """
    return page_rows(response, files.listing(db, user.id, wanted, **part))


@router.get("/metadata-filters", response_model=MetadataFilters)
def show_metadata_filters(user: CurrentUser, db: DatabaseSession) -> dict[str, Any]:
    """By which values the caller's files can be filtered."""
    return files.metadata_filters(db, user.id)


@router.get("/{file_id:int}", response_model=MediaFileDetail, responses=problems(404))
def show_file(file_id: Id, user: CurrentUser, db: DatabaseSession) -> MediaFile:
    """A file with its transcript and its tags."""
    return files.detail(db, user.id, file_id)


@router.put("/{file_id:int}", responses=problems(404))
def change_file(file_id: Id, changes: MediaFileUpdate, user: CurrentUser, db: DatabaseSession) -> MediaFileTagged:
    """Changes what is given, and leaves the rest."""
    return committed(db, MediaFileTagged, files.update(db, user.id, file_id, changes))


@router.delete("/{file_id:int}", status_code=204, responses=problems(404))
def delete_file(file_id: Id, user: CurrentUser, db: DatabaseSession, store: Store) -> None:
    """Deletes a file with all that belongs to it; a task that works on it ends."""
    path = files.remove(db, user.id, file_id)
    db.commit()
    files.delete_bytes(store, [path])


@router.put("/{file_id:int}/transcript", response_model=MediaFileDetail, responses=problems(404))
def change_transcript(
    file_id: Id,
    changes: Annotated[list[TranscriptSegmentUpdate], Body(max_length=_MOST_CHANGES)],
    user: CurrentUser,
    db: DatabaseSession,
) -> MediaFileDetail:
    """Changes segments, all of them or none; answers the whole file."""
    corrections.change(db, user.id, file_id, changes)
    return committed(db, MediaFileDetail, files.detail(db, user.id, file_id))


@router.post("/{file_id:int}/transcribe", responses=problems(404, 409))
def transcribe_file_again(file_id: Id, user: CurrentUser, db: DatabaseSession) -> TaskRead:
    """A new task for a file that has none under way; its transcript is replaced once that succeeds."""
    task = committed(db, TaskRead, files.transcribe_again(db, user.id, file_id))
    messages.send([task.id])
    return task
