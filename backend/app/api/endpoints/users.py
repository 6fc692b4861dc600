"""Users: themselves, and all of them for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import CurrentAdmin, CurrentUser, DatabaseSession, Store, committed, in_turn
from app.api.errors import problems
from app.api.parameters import Id, PageWanted, page_rows
from app.models import User
from app.schemas.user import UserRead, UserSelfUpdate, UserUpdate
from app.services import files, users

router = APIRouter(prefix="/api/users", tags=["users"], responses=problems(401))


@router.get("", response_model=list[UserRead], responses=problems(403))
def list_users(response: Response, _: CurrentAdmin, db: DatabaseSession, wanted: PageWanted) -> Any:  # noqa: ANN401
    """All users, oldest first."""
    return page_rows(response, users.listing(db, **wanted))


@router.get("/me", response_model=UserRead)
def show_me(user: CurrentUser) -> User:
    """The caller."""
    return user


@router.put("/me", responses=problems(409))
async def change_me(changes: UserSelfUpdate, user: CurrentUser, db: DatabaseSession) -> UserRead:
    """Changes the caller's own email, name or password."""
    return await in_turn(_change, db, user.id, changes)


@router.get("/{user_id:int}", response_model=UserRead, responses=problems(403, 404))
def show_user(user_id: Id, _: CurrentAdmin, db: DatabaseSession) -> User:
    """One user."""
    return users.one(db, user_id)


@router.put("/{user_id:int}", responses=problems(403, 404, 409))
async def change_user(user_id: Id, changes: UserUpdate, _: CurrentAdmin, db: DatabaseSession) -> UserRead:
    """Changes a user; the last administrator stays one."""
    return await in_turn(_change, db, user_id, changes)


@router.delete("/{user_id:int}", status_code=204, responses=problems(403, 404, 409))
def delete_user(user_id: Id, admin: CurrentAdmin, db: DatabaseSession, store: Store) -> None:
    """Deletes a user with all that is theirs; nobody deletes themselves, nor the last administrator."""
    paths = users.remove(db, user_id, by=admin.id)
    db.commit()
    files.delete_bytes(store, paths)


def _change(db: DatabaseSession, user_id: int, changes: UserSelfUpdate) -> UserRead:
    return committed(db, UserRead, users.change(db, user_id, changes))
