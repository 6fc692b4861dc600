"""What endpoints ask for: a session, who is calling, the media store; and how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.orm import Session

from app.core.security import read_token
from app.db.base import get_db
from app.models import User
from app.schemas.table import ReadSchema
from app.storage.media_store import MediaStore

S = TypeVar("S", bound=ReadSchema)
T = TypeVar("T")

DatabaseSession = Annotated[Session, Depends(get_db)]
_Bearer = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="/api/auth/token"))]

_TURNS = CapacityLimiter(2)
"""Each password that is hashed takes 64 MiB and a core: a hundred logins wait here, not in everybody's threads."""


def unauthorized(detail: str) -> HTTPException:
    """The answer to somebody who isn't who they say."""
    return HTTPException(401, detail, headers={"WWW-Authenticate": "Bearer"})


def current_user(request: Request, token: _Bearer, db: DatabaseSession) -> User:
    """The active user whose token came with the request. Raises a 401."""
    user_id = read_token(token, request.app.state.signing_key)
    user = db.get(User, user_id) if user_id is not None else None
    if user is None or not user.is_active:
        raise unauthorized("Could not validate credentials")
    return user


CurrentUser = Annotated[User, Depends(current_user)]


def current_admin(user: CurrentUser) -> User:
    """The caller, who is an administrator. Raises a 403 for anybody else."""
    if not user.is_admin:
        raise HTTPException(403, "Only administrators may do that")
    return user


CurrentAdmin = Annotated[User, Depends(current_admin)]


def _media_store(request: Request) -> MediaStore:
    store: MediaStore = request.app.state.store
    return store


Store = Annotated[MediaStore, Depends(_media_store)]


async def in_turn(hashing: Callable[..., T], *given: Any) -> T:  # noqa: ANN401 - the function's own
    """Calls a function that hashes a password, in a thread, when it is its turn."""
    return await to_thread.run_sync(hashing, *given, limiter=_TURNS)


def committed(db: Session, schema: type[S], row: object) -> S:
    """Commits, and returns what the row shows. It is read before: afterwards somebody else may have deleted the row."""
    shown = schema.model_validate(row)
    db.commit()
    return shown
