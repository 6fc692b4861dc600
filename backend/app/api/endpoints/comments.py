"""Comments."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import CurrentUser, DatabaseSession, committed
from app.api.errors import problems
from app.api.parameters import Id, IdInQuery, PageWanted, page_rows
from app.models import Comment
from app.schemas.media import CommentCreate, CommentRead, CommentUpdate, FileCommentCreate
from app.services import comments

router = APIRouter(prefix="/api/comments", tags=["comments"], responses=problems(401, 404))


@router.get("", response_model=list[CommentRead])
def list_comments(
    response: Response, media_file_id: IdInQuery, user: CurrentUser, db: DatabaseSession, wanted: PageWanted
) -> Any:  # noqa: ANN401
    """All comments on one of the caller's files, oldest first."""
    return page_rows(response, comments.of_file(db, user.id, media_file_id, **wanted))


@router.post("")
def create_comment(new: CommentCreate, user: CurrentUser, db: DatabaseSession) -> CommentRead:
    """A new comment on one of the caller's files."""
    return committed(db, CommentRead, comments.create(db, user.id, new.media_file_id, new))


@router.get("/files/{file_id:int}/comments", response_model=list[CommentRead])
def list_comments_of_file(
    response: Response, file_id: Id, user: CurrentUser, db: DatabaseSession, wanted: PageWanted
) -> Any:  # noqa: ANN401
    """All comments on one of the caller's files, oldest first."""
    return page_rows(response, comments.of_file(db, user.id, file_id, **wanted))


@router.post("/files/{file_id:int}/comments")
def create_comment_on_file(file_id: Id, new: FileCommentCreate, user: CurrentUser, db: DatabaseSession) -> CommentRead:
    """A new comment on one of the caller's files."""
    return committed(db, CommentRead, comments.create(db, user.id, file_id, new))


@router.get("/{comment_id:int}", response_model=CommentRead)
def show_comment(comment_id: Id, user: CurrentUser, db: DatabaseSession) -> Comment:
    """One comment."""
    return comments.one(db, user.id, comment_id)


@router.put("/{comment_id:int}", responses=problems(403))
def change_comment(comment_id: Id, changes: CommentUpdate, user: CurrentUser, db: DatabaseSession) -> CommentRead:
    """Changes what is given, and leaves the rest; only who wrote it may."""
    return committed(db, CommentRead, comments.change(db, user.id, comment_id, changes))


@router.delete("/{comment_id:int}", status_code=204)
def delete_comment(comment_id: Id, user: CurrentUser, db: DatabaseSession) -> None:
    """Deletes a comment; who wrote it may, and who owns the file."""
    comments.remove(db, user.id, comment_id)
    db.commit()
