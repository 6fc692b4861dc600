"""The people who use the instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg2.errors import UniqueViolation
from pydantic import MISSING
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from app.core.security import get_password_hash, needs_rehash, verify_login
from app.db.paging import Page, page
from app.models import Comment, MediaFile, Speaker, Task, User
from app.services.errors import Conflict, Missing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.schemas.user import UserRegister, UserSelfUpdate

_ADMIN_LOCK = 0x61646D696E  # "admin"; a key of advisory locks that nothing else takes
_EMAIL_KEY = "user_email_key"
"""PostgreSQL's own name for the unique constraint on user.email."""

_RIGHTS = {"role", "is_active", "is_superuser"}


class EmailTaken(Conflict):
    """Another user has this address."""

    def __init__(self, email: str) -> None:
        super().__init__(f"the address {email} belongs to another user", "use another one; nothing was changed")


class UserMissing(Missing):
    """There is no such user (any more)."""

    def __init__(self, user_id: int) -> None:
        super().__init__("user", user_id)


class LastAdmin(Conflict):
    """The instance would be left without an administrator who can log in."""

    def __init__(self, user_id: int) -> None:
        super().__init__(
            f"user {user_id} is the last administrator",
            "make somebody else one first, who is active; nothing was changed",
        )


class OwnAccount(Conflict):
    """Administrators don't delete themselves."""

    def __init__(self) -> None:
        super().__init__("you can't delete yourself", "let another administrator do that")


def admin_email(session: Session) -> str | None:
    """The address of the first administrator, if there is one.

    Until the transaction ends, whoever else asks waits: so two who find none can't both make one.
    """
    _lock_admins(session)
    return session.scalar(select(User.email).where(User.is_admin).order_by(User.id).limit(1))


def create_user(session: Session, new: UserRegister) -> User:
    """A new user, flushed and not committed. Raises `EmailTaken`; the transaction is then lost."""
    columns = new.model_dump(exclude={"password"})
    user = User(**columns, hashed_password=get_password_hash(new.password.get_secret_value()))
    session.add(user)
    _flush(session, new.email)
    return user


def listing(session: Session, *, limit: int | None = None, cursor: str | None = None) -> Page[User]:
    """All users, oldest first."""
    return page(session, select(User), [User.id], limit=limit, cursor=cursor)


def one(session: Session, user_id: int) -> User:
    """The user. Raises `UserMissing`."""
    user = session.get(User, user_id)
    if user is None:
        raise UserMissing(user_id)
    return user


def change(session: Session, user_id: int, changes: UserSelfUpdate) -> User:
    """The user with these changes, flushed and not committed. Raises `UserMissing`, `EmailTaken`, `LastAdmin`."""
    values = changes.model_dump(exclude={"password"})
    if changes.password is not MISSING:
        values["hashed_password"] = get_password_hash(changes.password.get_secret_value())
    if values.keys() & _RIGHTS:
        _lock_admins(session)
    user = _locked(session, user_id)
    was_admin = user.is_admin and user.is_active
    for name, value in values.items():
        setattr(user, name, value)
    _flush(session, user.email)
    if was_admin and not (user.is_admin and user.is_active):
        _require_an_admin(session, user_id)
    return user


def remove(session: Session, user_id: int, by: int) -> list[str]:
    """Deletes the user with all that is theirs, not committed; returns where their files' bytes are.

    The caller deletes those after the commit. Comments of others on the user's files go with the files. `by` is who
    asks. Raises `UserMissing`, `OwnAccount`, `LastAdmin`.
    """
    if user_id == by:
        raise OwnAccount
    _lock_admins(session)
    user = _locked(session, user_id)  # from here on nobody gives the user anything new
    was_admin = user.is_admin and user.is_active
    files = delete(MediaFile).where(MediaFile.user_id == user_id).returning(MediaFile.storage_path)
    paths = list(session.scalars(files))
    for owned in (Task, Comment, Speaker):
        session.execute(delete(owned).where(owned.user_id == user_id))
    session.execute(delete(User).where(User.id == user_id))
    if was_admin:
        _require_an_admin(session, user_id)
    return paths


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


def _flush(session: Session, email: str) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation) and error.orig.diag.constraint_name == _EMAIL_KEY:
            raise EmailTaken(email) from error
        raise  # another constraint: to call that a taken address would hide a fault


def _locked(session: Session, user_id: int) -> User:
    stmt = select(User).where(User.id == user_id).with_for_update()
    user = session.scalar(stmt.execution_options(populate_existing=True))
    if user is None:
        raise UserMissing(user_id)
    return user


def _lock_admins(session: Session) -> None:
    """Whoever makes or unmakes administrators takes turns: else two could each take the other for the one who stays."""
    session.execute(select(func.pg_advisory_xact_lock(_ADMIN_LOCK)))


def _require_an_admin(session: Session, user_id: int) -> None:
    if session.scalar(select(User.id).where(User.is_admin, User.is_active).limit(1)) is None:
        raise LastAdmin(user_id)
