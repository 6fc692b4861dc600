"""The recordings themselves, for players and for downloads."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordBearer

from app.api.deps import CurrentUser, DatabaseSession, Store, current_user, unauthorized
from app.api.errors import problems
from app.api.parameters import Id
from app.api.ranges import file_response, is_known
from app.api.receiving import MEDIA_TYPE
from app.core.security import make_stream_token, read_stream_token
from app.schemas.token import StreamUrl
from app.services.playing import Playable, playable

router = APIRouter(prefix="/api/files", tags=["files"])

_BYTES = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The recording", **_BYTES},
    206: {"description": "The range of it that was asked for", **_BYTES},
    304: {"description": "The client has it already"},
    416: {"description": "The range begins behind the end"},
    **problems(401, 404),
}


def _listener(
    request: Request,
    file_id: Id,
    db: DatabaseSession,
    bearer: Annotated[str | None, Depends(OAuth2PasswordBearer(tokenUrl="/api/auth/token", auto_error=False))],
    token: Annotated[str | None, Query(description="from stream-url, instead of the header Authorization")] = None,
) -> int:
    """The id of the user for whom one of the tokens is. Raises a 401."""
    if token is not None:
        user_id = read_stream_token(token, file_id, request.app.state.signing_key)
        if user_id is None:
            raise unauthorized("This address has expired, or isn't this recording's")
        return user_id
    if bearer is None:
        raise unauthorized("Not authenticated")
    return current_user(request, bearer, db).id


Listener = Annotated[int, Depends(_listener)]


@router.get("/{file_id:int}/stream-url", responses=problems(401, 404))
def stream_url(request: Request, file_id: Id, user: CurrentUser, db: DatabaseSession) -> StreamUrl:
    """An address of the recording for players, which send no header: it holds for a while, for this recording alone."""
    playable(db, user.id, file_id)
    state = request.app.state
    token = make_stream_token(user.id, file_id, state.signing_key, state.stream_token_lifetime)
    return StreamUrl(url=f"/api/files/{file_id}/content?token={token}")


@router.head("/{file_id:int}/content", include_in_schema=False)
@router.get("/{file_id:int}/content", response_class=Response, responses=_ANSWERS)
def content(request: Request, file_id: Id, db: DatabaseSession, store: Store, listener: Listener) -> Response:
    """The recording as it was uploaded; a Range is honoured."""
    file = playable(db, listener, file_id)
    db.commit()  # no connection is held while the bytes go out
    etag, headers = _etag(file_id, file), _headers(file)
    if is_known(request, etag):
        return Response(status_code=304, headers={**headers, "ETag": etag})
    return file_response(request, store.open(file.storage_path), etag, headers)


def _etag(file_id: int, file: Playable) -> str:
    """Names the bytes: they never change under one row, and a row's id may come again after a reset."""
    words = f"{file_id} {file.storage_path} {file.file_size} {file.upload_time}"
    return f'"{hashlib.sha256(words.encode()).hexdigest()[:32]}"'


def _headers(file: Playable) -> dict[str, str]:
    """What a user has uploaded never runs in another's browser, whatever its row says that it is."""
    kind = file.content_type if MEDIA_TYPE.fullmatch(file.content_type) else "application/octet-stream"
    return {
        "Content-Type": kind,
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(file.filename, safe='')}",
        "Content-Security-Policy": "default-src 'none'; media-src 'self'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
