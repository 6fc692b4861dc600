"""Passwords: hashed with argon2id; bcrypt hashes of older instances are still accepted.

Source of the parameters: RFC 9106, second recommended option, which argon2-cffi has as its default.
"""

from __future__ import annotations

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

_BCRYPT_PREFIXES = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES = 72  # bcrypt looks at no more of a password; passlib, which made the old hashes, cut there
_BCRYPT_MAX_COST = 16  # a forged row must not cost minutes: each step doubles the time, 16 is about 4 s
_hasher = PasswordHasher()


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


def needs_rehash(hashed_password: str) -> bool:
    """Whether the hash should be replaced at the next login: bcrypt, or argon2 with parameters of the past."""
    try:
        return _hasher.check_needs_rehash(hashed_password)
    except (InvalidHashError, ValueError):
        return True


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
