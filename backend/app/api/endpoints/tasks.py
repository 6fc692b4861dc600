"""Tasks: work in the background."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from app.api.deps import CurrentUser, DatabaseSession, committed
from app.api.errors import problems
from app.api.parameters import IdInQuery, PageWanted, page_rows
from app.models import Task
from app.schemas.media import TaskRead
from app.schemas.types import VarChar255
from app.services import tasks

router = APIRouter(prefix="/api/tasks", tags=["tasks"], responses=problems(401))

_TaskId = Annotated[VarChar255, Path(min_length=1)]


@router.get("", response_model=list[TaskRead])
def list_tasks(
    response: Response,
    user: CurrentUser,
    db: DatabaseSession,
    wanted: PageWanted,
    media_file_id: IdInQuery | None = None,
) -> Any:  # noqa: ANN401
    """The caller's own (of one file), newest first."""
    return page_rows(response, tasks.listing(db, user.id, media_file_id=media_file_id, **wanted))


@router.get("/{task_id}", response_model=TaskRead, responses=problems(404))
def show_task(task_id: _TaskId, user: CurrentUser, db: DatabaseSession) -> Task:
    """One task."""
    return tasks.one(db, user.id, task_id)


@router.post("/{task_id}/cancel", responses=problems(404, 409))
def cancel_task(task_id: _TaskId, user: CurrentUser, db: DatabaseSession) -> TaskRead:
    """Ends an unfinished task as failed, with the reason `cancelled`; doing so again changes nothing."""
    return committed(db, TaskRead, tasks.cancel(db, user.id, task_id))
