"""What goes in and out about users. A password never goes out."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import MISSING, field_validator

from app.models import User
from app.schemas.table import CreateSchema, ReadSchema, UpdateSchema, shown
from app.schemas.types import Int4, Password, Timestamp, VarChar50, VarChar255

_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


def _address(email: str) -> str:
    """Refuses what can't be an address; whether it is one, only a mail could tell."""
    if not _ADDRESS.fullmatch(email):
        raise ValueError("an email address looks like name@host")
    return email


class UserRead(ReadSchema):
    """A user as the API shows one."""

    model = User
    not_shown: ClassVar = {"hashed_password": "a secret, even as a hash"}

    id: Int4
    email: VarChar255
    full_name: VarChar255
    role: VarChar50 | None
    is_active: bool
    is_superuser: bool
    created_at: Timestamp | None
    updated_at: Timestamp | None


class UserRegister(CreateSchema):
    """Someone who registers: nobody makes himself an administrator."""

    model_config = shown({"email": "ann@example.org", "full_name": "Ann", "password": "correct horse"})
    model = User
    not_columns: ClassVar = {"password": "kept as hashed_password"}

    email: VarChar255
    full_name: VarChar255
    password: Password

    _email_is_one = field_validator("email")(_address)


class UserCreate(UserRegister):
    """A user that an administrator makes."""

    role: VarChar50 | None = "user"
    is_active: bool = True
    is_superuser: bool = False


class UserSelfUpdate(UpdateSchema):
    """What users may change about themselves."""

    model_config = shown({"full_name": "Ann"})
    model = User
    not_columns: ClassVar = {"password": "kept as hashed_password"}

    email: VarChar255 | MISSING = MISSING
    full_name: VarChar255 | MISSING = MISSING
    password: Password | MISSING = MISSING

    @field_validator("email")
    @classmethod
    def _email_is_one(cls, email: str | MISSING) -> str | MISSING:
        return email if email is MISSING else _address(email)


class UserUpdate(UserSelfUpdate):
    """What an administrator may change about a user."""

    role: VarChar50 | MISSING | None = MISSING
    is_active: bool | MISSING = MISSING
    is_superuser: bool | MISSING = MISSING
