"""What logins and players get."""

from __future__ import annotations

from pydantic import BaseModel


class Token(BaseModel):
    """A bearer token, as OAuth2 names its parts."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the kind, not the token


class StreamUrl(BaseModel):
    """An address that a player can open, without a header, for a while."""

    url: str
