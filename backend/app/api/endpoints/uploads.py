"""New recordings."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from app.api.deps import CurrentUser, DatabaseSession, Store
from app.api.errors import problems
from app.api.metrics import UPLOADED_BYTES
from app.api.receiving import FIELD, drained, received
from app.schemas.media import MediaFileRead
from app.services import messages, uploads
from app.storage import keys
from app.storage.media_store import MediaStore

router = APIRouter(prefix="/api/files", tags=["files"])

CLIENT_LEFT = 499
"""Nobody reads this answer; the log shows it. (nginx's number for it.)"""
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary"}},
                },
                "encoding": {FIELD: {"contentType": "audio/*, video/*"}},
            }
        },
    }
}


@router.post("", response_model=MediaFileRead, responses=problems(401, 413, 415, 507), openapi_extra=_BODY)
async def upload_file(
    request: Request,
    user: CurrentUser,
    db: DatabaseSession,
    store: Store,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Stores a recording and begins to transcribe it.

    With a header Idempotency-Key, the same upload can be sent again when its answer was lost: it is stored once.
    """
    user_id, limit = user.id, request.app.state.upload_limit
    task_id = uploads.task_id_for(user_id, idempotency_key) if idempotency_key else None
    try:
        before, reserved = await to_thread.run_sync(_prepare, db, user_id, task_id)
        if before is not None:
            await drained(request, limit)
            return JSONResponse(before)
        async with received(
            request, limit, lambda filename: store.incoming(keys.key_for(user_id, reserved.file_id, filename))
        ) as recording:
            upload = uploads.Upload(
                reserved, user_id, task_id, recording.filename, recording.content_type, recording.incoming
            )
            return JSONResponse(await to_thread.run_sync(_accept, db, store, upload))
    except ClientDisconnect:
        return Response(status_code=CLIENT_LEFT)


def _prepare(db: Session, user_id: int, task_id: str | None) -> tuple[dict[str, Any] | None, uploads.Reserved]:
    """Ends the transaction, so that no connection is held while the bytes come in."""
    found = uploads.accepted_before(db, user_id, task_id) if task_id else None
    before, reserved = _shown(found) if found else None, uploads.reserve(db)
    db.commit()
    return before, reserved


def _accept(db: Session, store: MediaStore, upload: uploads.Upload) -> dict[str, Any]:
    file, task_id = uploads.accept(db, store, upload)
    shown = _shown(file)
    db.commit()
    UPLOADED_BYTES.inc(upload.incoming.size)
    messages.send([task_id])
    return shown


def _shown(file: object) -> dict[str, Any]:
    return MediaFileRead.model_validate(file).model_dump(mode="json")
