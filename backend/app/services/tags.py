"""Tags: words that all users share, and put on their own files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.db.paging import Page, page
from app.models import FileTag, Tag
from app.services import files
from app.services.errors import Missing

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session


class TagMissing(Missing):
    """The file doesn't have this tag (any more)."""

    def __init__(self, media_file_id: int, name: str) -> None:
        super().__init__("tag", f"'{name}' on file {media_file_id}", "look at the file's tags")


def listing(session: Session, *, limit: int | None = None, cursor: str | None = None) -> Page[Tag]:
    """All tags, by name."""
    return page(session, select(Tag), [Tag.name], limit=limit, cursor=cursor)


def unused(session: Session, *, limit: int | None = None, cursor: str | None = None) -> Page[Tag]:
    """The tags that nobody's file has, by name."""
    return page(session, _unused(), [Tag.name], limit=limit, cursor=cursor)


def create(session: Session, name: str) -> Tag:
    """The tag of this name, without blanks around it, made if there is none, not committed.

    Until the transaction ends `clean_up` waits for it.
    """
    name = name.strip()
    made = insert(Tag).values(name=name).on_conflict_do_update(index_elements=[Tag.name], set_={"name": name})
    return session.scalars(made.returning(Tag), execution_options={"populate_existing": True}).one()


def put_on(session: Session, user_id: int, media_file_id: int, name: str) -> Tag:
    """Puts the tag on the user's file, if it isn't there, not committed. Raises `MediaFileMissing`."""
    files.require(session, user_id, media_file_id)
    tag = create(session, name)
    both = {"media_file_id": media_file_id, "tag_id": tag.id}
    session.execute(insert(FileTag).values(both).on_conflict_do_nothing())
    return tag


def take_off(session: Session, user_id: int, media_file_id: int, name: str) -> None:
    """Takes the tag off the user's file, not committed. Raises `MediaFileMissing`, `TagMissing`."""
    files.require(session, user_id, media_file_id)
    named = select(Tag.id).where(Tag.name.in_({name, name.strip()}))  # older rows may have blanks
    gone = delete(FileTag).where(FileTag.media_file_id == media_file_id, FileTag.tag_id.in_(named))
    if not session.scalars(gone.returning(FileTag.id)).all():
        raise TagMissing(media_file_id, name)


def clean_up(session: Session) -> None:
    """Deletes the tags that nobody's file has, not committed.

    They are locked first, and then looked at again: one that was just put on a file stays, since a single statement
    wouldn't see that.
    """
    locked = session.scalars(_unused().with_only_columns(Tag.id).order_by(Tag.id).with_for_update()).all()
    session.execute(delete(Tag).where(Tag.id.in_(locked), ~Tag.file_tags.any()))


def _unused() -> Select[Tag]:
    return select(Tag).where(~Tag.file_tags.any())
