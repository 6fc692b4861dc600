"""The people who use the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.errors import UniqueViolation
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.core.security import get_password_hash, needs_rehash, verify_login
from app.db import errors
from app.models import User

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.schemas.user import UserCreate

_ADMIN_LOCK = 0x61646D696E  # "admin"; a key of advisory locks that nothing else takes
_EMAIL_KEY = "user_email_key"
"""PostgreSQL's own name for the unique constraint on user.email."""


class EmailTaken(errors.DbError):
    """Another user has this address."""

    exit_code = 4

    def __init__(self, email: str) -> None:
        super().__init__(
            f"{email} belongs to a user who is no administrator, and nobody is made one in passing",
            "set ADMIN_EMAIL to another address, then try again; nothing was changed",
        )


def admin_email(session: Session) -> str | None:
    """The address of the first administrator, if there is one.

    Until the transaction ends, whoever else asks waits: so two who find none can't both make one.
    """
    session.execute(select(func.pg_advisory_xact_lock(_ADMIN_LOCK)))
    return session.scalar(select(User.email).where(User.is_superuser).order_by(User.id).limit(1))


def create_user(session: Session, new: UserCreate) -> User:
    """A new user, flushed and not committed. Raises `EmailTaken`; the transaction is then lost."""
    columns = new.model_dump(exclude={"password"})
    user = User(**columns, hashed_password=get_password_hash(new.password.get_secret_value()))
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == _EMAIL_KEY:
            raise EmailTaken(new.email) from error
        raise  # another constraint: to call that a taken address would hide a fault
    return user


def log_in(session: Session, email: str, password: str) -> User | None:
    """The active user of this address and password; None for anybody else, always after about the same time.

    A hash of the past (bcrypt) is replaced by one of today, and that is committed.
    """
    user = session.scalar(select(User).where(User.email == email)) if _storable(email) else None
    if not verify_login(password, user.hashed_password if user else None) or user is None or not user.is_active:
        return None
    if needs_rehash(user.hashed_password):
        # Only in place of what was verified: the password may have been changed a moment ago.
        verified = update(User).where(User.id == user.id, User.hashed_password == user.hashed_password)
        session.execute(verified.values(hashed_password=get_password_hash(password)))
        session.commit()
    return user


def _storable(text: str) -> bool:
    """Whether a column can hold it: no NUL, nothing that isn't Unicode."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text
