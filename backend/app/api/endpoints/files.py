"""Recordings."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.deps import CurrentUser, DatabaseSession
from app.models import MediaFile
from app.schemas.media import MediaFileRead
from app.services import transcripts

router = APIRouter(prefix="/api/files", tags=["files"])

NEXT_CURSOR = "X-Next-Cursor"


@router.get("", response_model=list[MediaFileRead])
def list_files(
    response: Response, user: CurrentUser, db: DatabaseSession, limit: int | None = None, cursor: str | None = None
) -> list[MediaFile]:
    """The caller's own, newest first: all, or `limit` of them, and then the header X-Next-Cursor asks for the rest."""
    page = transcripts.files_of_user(db, user.id, limit=limit, cursor=cursor)
    if page.next_cursor is not None:
        response.headers[NEXT_CURSOR] = page.next_cursor
    return page.rows
