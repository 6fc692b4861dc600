"""Passwords: hashed with argon2id; bcrypt hashes of older instances are still accepted. And access tokens.

Source of the parameters: RFC 9106, second recommended option, which argon2-cffi has as its default.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import bcrypt
import jwt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES = 72  # bcrypt looks at no more of a password; passlib, which made the old hashes, cut there
_BCRYPT_MAX_COST = 16  # a forged row must not cost minutes: each step doubles the time, 16 is about 4 s
_hasher = PasswordHasher()
# What nobody's password was hashed to: argon2id with our parameters, bcrypt with the cost that OpenTranscribe used.
_STANDINS = (
    "$argon2id$v=19$m=65536,t=3,p=4$2JQThmfp+3794HlrRmMYhg$yQVeyW/0UeCIvOL5bUlKbXD0ycCJDztHAFPAUdkaCjM",
    "$2b$12$qJwml6moLt8LdBJAQs/FG.qC22byfXGanMz.fp6N5hrWFZwngKf92",
)
_ALGORITHM = "HS256"


def get_password_hash(password: str) -> str:
    """A new argon2id hash, with its parameters and salt inside."""
    return _hasher.hash(_to_bytes(password))


def verify_password(plain_password: str, hashed_password: str) -> bool:
    """Whether the password is the one that was hashed, by argon2 or bcrypt. False for what is no hash; never raises."""
    if hashed_password.startswith(_BCRYPT_PREFIXES):
        return _verify_bcrypt(_to_bytes(plain_password), hashed_password)
    try:
        return _hasher.verify(hashed_password, _to_bytes(plain_password))
    except (Argon2Error, InvalidHashError, ValueError):
        return False


def verify_login(plain_password: str, hashed_password: str | None) -> bool:
    """As `verify_password`; None: there is no such user. A refusal takes the time of both kinds of hash, always."""
    if hashed_password and verify_password(plain_password, hashed_password):
        return True
    for standin in _STANDINS:
        if hashed_password is None or hashed_password[:2] != standin[:2]:
            verify_password(plain_password, standin)
    return False


def needs_rehash(hashed_password: str) -> bool:
    """Whether the hash should be replaced at the next login: bcrypt, or argon2 with parameters of the past."""
    try:
        return _hasher.check_needs_rehash(hashed_password)
    except (InvalidHashError, ValueError):
        return True


def make_token(user_id: int, key: str, lifetime: timedelta) -> str:
    """A signed access token of this user (JWT, HS256; `sub` is the id as a string)."""
    now = datetime.now(UTC)
    return jwt.encode({"sub": str(user_id), "iat": now, "exp": now + lifetime}, key, algorithm=_ALGORITHM)


def read_token(token: str, key: str) -> int | None:
    """The user's id in a token that this key signed and that hasn't expired; None for any other text."""
    return _subject(token, key)


def make_stream_token(user_id: int, media_file_id: int, key: str, lifetime: timedelta) -> str:
    """A signed token that is good for nothing but playing this recording: its audience keeps others from taking it."""
    now = datetime.now(UTC)
    claims = {"sub": str(user_id), "aud": _audience(media_file_id), "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def read_stream_token(token: str, media_file_id: int, key: str) -> int | None:
    """The user's id in such a token for this recording; None for any other text."""
    return _subject(token, key, _audience(media_file_id))


def _audience(media_file_id: int) -> str:
    return f"media_file {media_file_id}"


def _subject(token: str, key: str, audience: str | None = None) -> int | None:
    """The user's id; without an audience PyJWT takes no token that is for one."""
    try:
        claims = jwt.decode(token, key, algorithms=[_ALGORITHM], audience=audience, options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return None
    subject = claims["sub"]
    return int(subject) if subject.isascii() and subject.isdecimal() else None


def _verify_bcrypt(password: bytes, hashed_password: str) -> bool:
    cost = hashed_password[4:6]
    if not (cost.isdecimal() and int(cost) <= _BCRYPT_MAX_COST):
        return False
    try:
        return bcrypt.checkpw(password[:_BCRYPT_BYTES], hashed_password.encode())
    except ValueError:
        return False


def _to_bytes(password: str) -> bytes:
    """UTF-8; lone surrogates, which JSON can carry and UTF-8 can't, go through as they are."""
    return password.encode("utf-8", "surrogatepass")
