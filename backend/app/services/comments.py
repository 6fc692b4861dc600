"""Remarks on recordings. Who owns the file reads and deletes all of them; only who wrote one changes its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from app.db.paging import Page, page
from app.models import Comment, MediaFile
from app.services import files
from app.services.errors import Missing, NotAllowed

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.schemas.media import CommentUpdate, FileCommentCreate


class CommentMissing(Missing):
    """The user sees no such comment (any more)."""

    def __init__(self, comment_id: int) -> None:
        super().__init__("comment", comment_id)


class WrittenByAnother(NotAllowed):
    """Somebody else wrote the comment."""

    def __init__(self, comment_id: int) -> None:
        super().__init__(f"comment {comment_id} was written by somebody else", "answer it with a comment of your own")


def of_file(
    session: Session, user_id: int, media_file_id: int, *, limit: int | None = None, cursor: str | None = None
) -> Page[Comment]:
    """All comments on the user's file, oldest first. Raises `MediaFileMissing`."""
    files.require(session, user_id, media_file_id)
    stmt = select(Comment).where(Comment.media_file_id == media_file_id)
    return page(session, stmt, [Comment.id], limit=limit, cursor=cursor)


def one(session: Session, user_id: int, comment_id: int, *, to_change: bool = False) -> Comment:
    """A comment that the user wrote or that is on the user's file; `to_change` locks it. Raises `CommentMissing`."""
    stmt = select(Comment).join(MediaFile).where(Comment.id == comment_id)
    stmt = stmt.where(or_(Comment.user_id == user_id, MediaFile.user_id == user_id))
    if to_change:
        stmt = stmt.with_for_update(of=Comment).execution_options(populate_existing=True)
    comment = session.scalar(stmt)
    if comment is None:
        raise CommentMissing(comment_id)
    return comment


def create(session: Session, user_id: int, media_file_id: int, new: FileCommentCreate) -> Comment:
    """The user's new comment on the user's file, flushed and not committed. Raises `MediaFileMissing`."""
    files.require(session, user_id, media_file_id)
    comment = Comment(user_id=user_id, media_file_id=media_file_id, text=new.text, timestamp=new.timestamp)
    session.add(comment)
    session.flush()
    return comment


def change(session: Session, user_id: int, comment_id: int, changes: CommentUpdate) -> Comment:
    """The comment with these changes, flushed and not committed. Raises `CommentMissing`, `WrittenByAnother`."""
    comment = one(session, user_id, comment_id, to_change=True)
    if comment.user_id != user_id:
        raise WrittenByAnother(comment_id)
    for name, value in changes.model_dump().items():
        setattr(comment, name, value)
    session.flush()
    return comment


def remove(session: Session, user_id: int, comment_id: int) -> None:
    """Deletes the comment, not committed. Raises `CommentMissing`."""
    session.delete(one(session, user_id, comment_id, to_change=True))
    session.flush()
