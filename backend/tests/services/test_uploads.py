"""What makes a recording accepted: bytes, row and task, all or none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.models import MediaFile, Task
from app.services import uploads
from app.services.uploads import Upload
from app.storage import keys
from app.storage.errors import StoreUnavailable, UploadCutOff
from app.storage.volume import INCOMING, Volume
from tests.recordings import add_user

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session


@pytest.fixture
def store(tmp_path: Path) -> Volume:
    (tmp_path / "current").mkdir()
    return Volume(tmp_path / "current")


@pytest.fixture
def upload(session: Session, store: Volume) -> Upload:
    """An upload whose bytes are all in."""
    user = add_user(session)
    reserved = uploads.reserve(session)
    session.commit()
    incoming = store.incoming(keys.key_for(user.id, reserved.file_id, "a.mp3"))
    incoming.write(b"sound")
    incoming.finish()
    return Upload(reserved, user.id, uploads.task_id_for(user.id, "4711"), "a.mp3", "audio/mpeg", incoming)


def stored(session: Session, store: Volume) -> tuple[list[int], list[str]]:
    """Ids of recordings, and names of files that came in and stayed there."""
    session.rollback()
    folder = store._root / INCOMING  # noqa: SLF001 - to look behind it
    return list(session.scalars(select(MediaFile.id))), [path.name for path in folder.iterdir()]


def test_an_accepted_recording_has_its_bytes_and_its_task(session: Session, store: Volume, upload: Upload) -> None:
    file, task_id = uploads.accept(session, store, upload)
    assert (file.id, task_id) == (upload.reserved.file_id, upload.task_id)
    with store.open(file.storage_path) as kept:
        assert kept.read() == b"sound"
    assert session.get_one(Task, task_id).media_file_id == file.id
    assert stored(session, store) == ([file.id], [])


def test_a_database_that_was_exchanged_meanwhile_gets_no_row(session: Session, store: Volume, upload: Upload) -> None:
    reserved = replace(upload.reserved, database=1)
    with pytest.raises(UploadCutOff):
        uploads.accept(session, store, replace(upload, reserved=reserved))
    assert stored(session, store)[0] == []


def test_without_its_bytes_there_is_no_row(session: Session, store: Volume, upload: Upload) -> None:
    upload.incoming.discard()
    with pytest.raises(StoreUnavailable):
        uploads.accept(session, store, upload)
    assert stored(session, store) == ([], [])


def test_a_user_who_is_gone_meanwhile_gets_no_row(session: Session, store: Volume, upload: Upload) -> None:
    with pytest.raises(IntegrityError):
        uploads.accept(session, store, replace(upload, user_id=999_999))
    assert stored(session, store)[0] == []


def test_keys_of_uploads_make_the_same_task_for_one_user_alone() -> None:
    assert uploads.task_id_for(1, "a") == uploads.task_id_for(1, "a")
    assert len({uploads.task_id_for(*each) for each in ((1, "a"), (1, "b"), (2, "a"), (11, "a"), (1, "1 a"))}) == 5
