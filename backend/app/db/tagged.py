"""Questions about tags and the files that carry them, asked in a session."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from app.db import errors
from app.models.media import FileTag, MediaFile, Tag
from app.models.user import User

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.orm import Session


class TagUnknown(errors.BadInput):
    """No tag has this name."""

    def __init__(self, name: str, near: Sequence[str]) -> None:
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        super().__init__(f"there is no tag {name}", f"{meant}./opentr.sh db tags lists them all")
        self.name = name
        self.near = list(near)


class UserUnknown(errors.BadInput):
    """No user has this email address."""

    def __init__(self, email: str, near: Sequence[str]) -> None:
        meant = f"did you mean {' or '.join(near)}?" if near else "check the spelling of the address"
        super().__init__(f"there is no user {email}", meant)
        self.email = email
        self.near = list(near)


@dataclass(frozen=True)
class TagUse:
    """A tag and how many files carry it."""

    name: str
    files: int
    created_at: datetime | None


@dataclass(frozen=True)
class TaggedFile:
    """A file, as the list of files by tag shows it. `user` is the owner's email address; `tags` are in order."""

    id: int
    filename: str
    title: str | None
    user: str
    status: str | None
    upload_time: datetime
    tags: list[str]


def tags_in_use(session: Session) -> list[TagUse]:
    """All tags, those on most files first."""
    files = func.count(FileTag.id)
    statement = (
        select(Tag.name, files, Tag.created_at).outerjoin(FileTag).group_by(Tag.id).order_by(files.desc(), Tag.name)
    )
    return [TagUse(*row) for row in session.execute(statement)]


def files_by_tag(
    session: Session, names: Sequence[str], email: str | None, *, limit: int
) -> tuple[int, list[TaggedFile]]:
    """How many files carry all the named tags and belong to the user (None: anybody), and the newest `limit` of them.

    Raises `TagUnknown`, `UserUnknown`.
    """
    tag_ids = [_tag_id(session, name) for name in names]
    chosen = select(MediaFile.id)
    for tag_id in tag_ids:
        chosen = chosen.where(MediaFile.file_tags.any(FileTag.tag_id == tag_id))
    if email is not None:
        chosen = chosen.where(MediaFile.user_id == _user_id(session, email))
    total = session.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
    return total, [TaggedFile(*row) for row in session.execute(_described(chosen, limit))]


def _described(chosen: Select[int], limit: int) -> Select[*tuple[Any, ...]]:
    names = (
        select(func.coalesce(func.array_agg(aggregate_order_by(Tag.name, Tag.name)), []))
        .join(FileTag)
        .where(FileTag.media_file_id == MediaFile.id)
        .scalar_subquery()
    )
    columns = (MediaFile.id, MediaFile.filename, MediaFile.title, User.email, MediaFile.status, MediaFile.upload_time)
    newest = (MediaFile.upload_time.desc(), MediaFile.id.desc())
    return select(*columns, names).join(User).where(MediaFile.id.in_(chosen)).order_by(*newest).limit(limit)


def _tag_id(session: Session, name: str) -> int:
    found = session.execute(select(Tag.id).where(Tag.name == name)).scalar_one_or_none()
    if found is None:
        raise TagUnknown(name, _nearest(name, session.scalars(select(Tag.name)).all()))
    return found


def _user_id(session: Session, email: str) -> int:
    found = session.execute(select(User.id).where(User.email == email)).scalar_one_or_none()
    if found is None:
        raise UserUnknown(email, _nearest(email, session.scalars(select(User.email)).all()))
    return found


def _nearest(word: str, known: Sequence[str]) -> list[str]:
    folded = {name.casefold(): name for name in sorted(known)}
    return [folded[near] for near in get_close_matches(word.casefold(), folded)]
