"""Logging in and registering."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordRequestForm

from app.api.deps import CurrentUser, DatabaseSession, committed, in_turn, unauthorized
from app.api.errors import problems
from app.core.security import make_token
from app.models import User
from app.schemas.token import Token
from app.schemas.user import UserRead, UserRegister
from app.services import users
from app.services.logins import LoginLimit

router = APIRouter(prefix="/api/auth", tags=["auth"])


@router.post("/token", operation_id="log_in", responses=problems(401, 429))
@router.post("/login", operation_id="log_in_by_its_other_name", responses=problems(401, 429))
async def log_in(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()], db: DatabaseSession) -> Token:
    """A token for an email address (`username`, exactly as it was registered) and its password."""
    state, address = request.app.state, request.client.host if request.client else ""
    limit: LoginLimit = state.login_limit
    if seconds := await to_thread.run_sync(limit.seconds_to_wait, address, form.username):
        raise HTTPException(429, "Too many refused logins; try again later", {"Retry-After": str(seconds)})
    user = await in_turn(users.log_in, db, form.username, form.password)
    if user is None:
        raise unauthorized("Incorrect email or password")
    await to_thread.run_sync(limit.forget, address, form.username)
    return Token(access_token=make_token(user.id, state.signing_key, state.token_lifetime))


@router.post("/register", responses=problems(409))
async def register(new: UserRegister, db: DatabaseSession) -> UserRead:
    """A new user, who may log in at once."""
    return await in_turn(_register, db, new)


def _register(db: DatabaseSession, new: UserRegister) -> UserRead:
    return committed(db, UserRead, users.create_user(db, new))


@router.get("/me", response_model=UserRead, responses=problems(401))
def show_who_is_logged_in(user: CurrentUser) -> User:
    """The caller."""
    return user
