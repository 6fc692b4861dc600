"""Users and files for tests that need some to hang rows on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from app.models import MediaFile, User

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_numbers = itertools.count(1)


def add_user(session: Session) -> User:
    email = f"somebody-{next(_numbers)}@example.org"
    user = User(email=email, hashed_password="!", full_name="Some Body")  # noqa: S106 - nothing hashes to that
    session.add(user)
    session.flush()
    return user


def add_file(session: Session, user: User, **columns: Any) -> MediaFile:  # noqa: ANN401 - the model's own columns
    values = {
        "filename": "talk.mp3",
        "storage_path": "user_1/file_1/talk.mp3",
        "file_size": 1,
        "content_type": "audio/mpeg",
    }
    file = MediaFile(user_id=user.id, **(values | columns))
    session.add(file)
    session.flush()
    return file
