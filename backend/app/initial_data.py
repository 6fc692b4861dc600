"""`python -m app.initial_data`: makes the first administrator of an instance that has none; otherwise changes nothing.

The address is the setting ADMIN_EMAIL, the password is in ADMIN_PASSWORD_FILE. Without such a file one is generated,
and printed this once.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.db import command, connect, errors
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL

    from app.schemas.user import UserCreate

_GENERATED_BYTES = 18
# PostgreSQL manual, appendix A
_UNDEFINED_TABLE = "42P01"
_NOT_ALLOWED = ("42501", "25006")  # insufficient_privilege, read_only_sql_transaction


class TablesMissing(errors.DbError):
    """The database is there and our tables aren't."""

    exit_code = 4

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} has no table of users", "make the tables first: ./opentr.sh db migrate")


class NoAdministrator(errors.DbError):
    """The address that the administrator is to have is another user's."""

    exit_code = 4

    def __init__(self, email: str) -> None:
        super().__init__(
            f"{email} belongs to a user who is no administrator, and nobody is made one in passing",
            "set ADMIN_EMAIL to another address, then try again; nothing was changed",
        )


def parser() -> command.Parser:
    """The words that the command takes."""
    words = command.parser("initial_data", "Make the first administrator of an instance that has none.")
    words.prog = "python -m app.initial_data"
    return words


def act(args: Namespace) -> Report:
    """Makes the administrator where there is none; running it again, or twice at once, makes no second one.

    Raises `BadInput`, `NoAdministrator`, `TablesMissing`, `RightsMissing` and what connecting raises.
    """
    from app.core.config import settings  # noqa: PLC0415 - wrong settings are this command's error, in two lines
    from app.services import users  # noqa: PLC0415 - likewise: the models need the settings

    url = connect.parse_url(args.dsn or settings.DATABASE_URL)
    with _transaction(url) as session:
        if email := users.admin_email(session):
            return _report(email, created=False)
        file = settings.ADMIN_PASSWORD_FILE
        generated = None if file else secrets.token_urlsafe(_GENERATED_BYTES)
        password = _content(file) if file else str(generated)
        try:
            users.create_user(session, _admin(settings.ADMIN_EMAIL, password))
        except users.EmailTaken as taken:
            raise NoAdministrator(settings.ADMIN_EMAIL) from taken
    return _report(settings.ADMIN_EMAIL, created=True, password=generated)


def _report(email: str, *, created: bool, password: str | None = None) -> Report:
    data = {"created": created, "email": email, "password": password}
    if not created:
        return Report(data, [f"{email} is the administrator already; nothing was changed"])
    lines = [f"made the administrator {email}"]
    return Report(data, [*lines, f"password, shown this once: {password}"] if password else lines)


@contextmanager
def _transaction(url: URL) -> Iterator[Session]:
    """One session, committed at the end."""
    engine = connect.engine_for(url, application_name="opentr initial_data", poolclass=NullPool)
    try:
        with Session(engine) as session, session.begin():
            with connect.translated(url):
                session.connection()
            yield session
    except DBAPIError as error:
        raise _worded(error, url) from error
    finally:
        engine.dispose()


def _worded(error: DBAPIError, url: URL) -> Exception:
    code = getattr(error.orig, "pgcode", None)
    if code == _UNDEFINED_TABLE:
        return TablesMissing(connect.describe(url))
    if code in _NOT_ALLOWED:
        hint = "use the role of the application: correct --dsn or DATABASE_URL"
        return errors.RightsMissing(url.username or "connected", "read and write users", hint)
    return error


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
        hint = "correct that setting, or leave it out: then a password is generated"
        raise errors.BadInput(f"ADMIN_PASSWORD_FILE: {file} can't be read: {reason}", hint) from error


def _admin(email: str, password: str) -> UserCreate:
    from app.schemas.user import UserCreate  # noqa: PLC0415 - likewise

    try:
        return UserCreate.model_validate(
            {
                "email": email,
                "full_name": "Administrator",
                "password": password,
                "role": "admin",
                "is_superuser": True,
            }
        )
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        setting = {"email": "ADMIN_EMAIL", "password": "ADMIN_PASSWORD_FILE"}.get(str(first["loc"][0]), "the settings")
        reason = first["msg"].removeprefix("Value error, ")
        raise errors.BadInput(f"{setting} won't do: {reason}", "correct that setting, then try again") from error


if __name__ == "__main__":
    command.main(parser(), act)
