"""What administrators do."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import CurrentAdmin, DatabaseSession, Store, committed, in_turn
from app.api.endpoints.users import delete_user
from app.api.errors import problems
from app.api.parameters import Id, PageWanted, page_rows
from app.schemas.statistics import Statistics
from app.schemas.user import UserCreate, UserRead
from app.services import admin as figures
from app.services import users

router = APIRouter(prefix="/api/admin", tags=["admin"], responses=problems(401, 403))


@router.get("/stats", response_model=Statistics)
def show_statistics(_: CurrentAdmin, db: DatabaseSession) -> dict[str, Any]:
    """Figures about the whole instance: sizes in bytes, durations in seconds."""
    return figures.stats(db)


@router.get("/users", response_model=list[UserRead])
def list_users_for_admins(response: Response, _: CurrentAdmin, db: DatabaseSession, wanted: PageWanted) -> Any:  # noqa: ANN401
    """All users, oldest first."""
    return page_rows(response, users.listing(db, **wanted))


@router.post("/users", responses=problems(409))
async def create_user(new: UserCreate, _: CurrentAdmin, db: DatabaseSession) -> UserRead:
    """A new user, with the rights that are given."""
    return await in_turn(_create, db, new)


def _create(db: DatabaseSession, new: UserCreate) -> UserRead:
    return committed(db, UserRead, users.create_user(db, new))


@router.delete("/users/{user_id:int}", responses=problems(404, 409))
def delete_user_for_admins(user_id: Id, admin: CurrentAdmin, db: DatabaseSession, store: Store) -> dict[str, str]:
    """Deletes a user with all that is theirs; nobody deletes themselves, nor the last administrator."""
    delete_user(user_id, admin, db, store)
    return {"message": "User deleted successfully"}
