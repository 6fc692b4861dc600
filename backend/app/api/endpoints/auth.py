"""Logging in."""

from __future__ import annotations

from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.security import OAuth2PasswordRequestForm

from app.api.deps import DatabaseSession, unauthorized
from app.core.security import make_token
from app.schemas.token import Token
from app.services import users

router = APIRouter(prefix="/api/auth", tags=["auth"])

_TURNS = CapacityLimiter(2)
"""Each password that is verified takes 64 MiB and a core: a hundred logins wait here, not in everybody's threads."""


@router.post("/token")
@router.post("/login")
async def log_in(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()], db: DatabaseSession) -> Token:
    """A token for an email address (`username`) and its password."""
    user = await to_thread.run_sync(users.log_in, db, form.username, form.password, limiter=_TURNS)
    if user is None:
        raise unauthorized("Incorrect email or password")
    state = request.app.state
    return Token(access_token=make_token(user.id, state.signing_key, state.token_lifetime))
