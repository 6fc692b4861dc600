"""Tags."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from app.api.deps import CurrentUser, DatabaseSession, committed
from app.api.errors import problems
from app.api.parameters import Id, PageWanted, page_rows
from app.schemas.media import TagCreate, TagRead
from app.schemas.types import VarChar50
from app.services import tags

router = APIRouter(prefix="/api/tags", tags=["tags"], responses=problems(401))


@router.get("", response_model=list[TagRead])
def list_tags(response: Response, _: CurrentUser, db: DatabaseSession, wanted: PageWanted) -> Any:  # noqa: ANN401
    """All tags, by name; users share them."""
    return page_rows(response, tags.listing(db, **wanted))


@router.post("")
def create_tag(new: TagCreate, _: CurrentUser, db: DatabaseSession) -> TagRead:
    """A tag: a new one, or the one that has this name already."""
    return committed(db, TagRead, tags.create(db, new.name))


@router.get("/unused", response_model=list[TagRead])
def list_unused_tags(response: Response, _: CurrentUser, db: DatabaseSession, wanted: PageWanted) -> Any:  # noqa: ANN401
    """The tags that no file has, by name."""
    return page_rows(response, tags.unused(db, **wanted))


@router.delete("/cleanup", status_code=204)
def delete_unused_tags(_: CurrentUser, db: DatabaseSession) -> None:
    """Deletes the tags that no file has."""
    tags.clean_up(db)
    db.commit()


@router.post("/files/{file_id:int}/tags", responses=problems(404))
def put_tag_on_file(file_id: Id, new: TagCreate, user: CurrentUser, db: DatabaseSession) -> TagRead:
    """Puts a tag on one of the caller's files, and makes it if there is none of this name."""
    return committed(db, TagRead, tags.put_on(db, user.id, file_id, new.name))


@router.delete("/files/{file_id:int}/tags/{name:path}", status_code=204, responses=problems(404))
def take_tag_off_file(
    file_id: Id, name: Annotated[VarChar50, Path(min_length=1)], user: CurrentUser, db: DatabaseSession
) -> None:
    """Takes a tag off one of the caller's files; the tag itself stays."""
    tags.take_off(db, user.id, file_id, name)
    db.commit()
