"""What endpoints ask for: a session, and who is calling."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy.orm import Session

from app.core.security import read_token
from app.db.base import get_db
from app.models import User

DatabaseSession = Annotated[Session, Depends(get_db)]
_Bearer = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="/api/auth/token"))]


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
