"""New recordings: their bytes are in the store, then their row, then work on them begins.

While the bytes come in, no database connection is held. What makes a recording accepted is one transaction; its last
step before the commit is to give the bytes their key. So whatever is killed, and wherever: there is no row without its
bytes, and nothing that was answered is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from app.models import MediaFile, Task
from app.services import work
from app.storage.errors import UploadCutOff

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.storage.media_store import Incoming, MediaStore

_NAMES = UUID("6f0fd0a5-5c5e-4b0e-9c8c-0a4a3a1c4f52")
"""The name space of the ids of tasks whose uploads came with a key."""
_RESERVE = text(
    "SELECT nextval(pg_get_serial_sequence('public.media_file', 'id')) AS file_id,"
    " (SELECT oid FROM pg_database WHERE datname = current_database()) AS database"
)
_DATABASE = text("SELECT oid FROM pg_database WHERE datname = current_database()")


@dataclass(frozen=True)
class Reserved:
    """The id of a recording to come, and which database gave it: while the bytes come in, that may be exchanged."""

    file_id: int
    database: int


@dataclass(frozen=True)
class Upload:
    """A recording whose bytes are all in."""

    reserved: Reserved
    user_id: int
    task_id: str | None
    filename: str
    content_type: str
    incoming: Incoming


def task_id_for(user_id: int, idempotency_key: str) -> str:
    """The id of the task that an upload with this key makes, the same each time it is sent."""
    return str(uuid5(_NAMES, f"{user_id} {idempotency_key}"))


def accepted_before(session: Session, user_id: int, task_id: str) -> MediaFile | None:
    """The user's recording that this task was made for."""
    stmt = select(MediaFile).join(Task).where(Task.id == task_id, MediaFile.user_id == user_id)
    return session.scalar(stmt)


def reserve(session: Session) -> Reserved:
    """An id for a recording to come. It is used up, whatever becomes of the transaction."""
    row = session.execute(_RESERVE).one()
    return Reserved(row.file_id, row.database)


def accept(session: Session, store: MediaStore, upload: Upload) -> tuple[MediaFile, str]:
    """Stores the row and its task, gives the bytes their key, and commits; returns the row and the task's id, to send.

    An upload whose task is there already isn't stored twice: the answer is the recording that was. Raises
    `UploadCutOff` if the database has been exchanged, and `StoreUnavailable`; then nothing is stored. A commit that
    fails may have happened nevertheless, so the bytes stay then.
    """
    if session.scalar(_DATABASE) != upload.reserved.database:
        raise UploadCutOff
    file = MediaFile(
        id=upload.reserved.file_id,
        user_id=upload.user_id,
        filename=upload.filename,
        storage_path=upload.incoming.key,
        file_size=upload.incoming.size,
        content_type=upload.content_type,
    )
    session.add(file)
    try:
        session.flush()
        task_id = work.enqueue(session, upload.user_id, file.id, upload.task_id).id
    except IntegrityError:
        session.rollback()
        before = accepted_before(session, upload.user_id, upload.task_id) if upload.task_id else None
        if upload.task_id is None or before is None:
            raise
        return before, upload.task_id
    store.keep(upload.incoming)
    session.commit()
    return file, task_id
