"""`./opentr.sh db tags`: tags with the number of their files, files by tag, unused tags, tags that look alike.

It changes nothing. `--json` prints one object; without `--tag` and `--user`:

    tags          name, files (how many carry it), created_at
    unused        the names of those without a file
    look_alikes   pairs: names, files (of each, in that order), differ_in (see app.db.likeness)

and with them:

    total         how many files there are that carry all the tags and belong to the user
    files         the newest of them, as many as --limit says: id, filename, title, user, status, upload_time, tags
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.db import command, connect, errors
from app.db.likeness import look_alikes
from app.db.report import Report, Table
from app.models.media import FileTag, MediaFile, Tag
from app.models.user import User

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import URL, Select

    from app.db.likeness import Pair

APPLICATION_NAME = "opentr tags"
_SHOWN_FILES = 100
_MISSING_TABLE, _FORBIDDEN = "42P01", "42501"  # PostgreSQL, Appendix A


class TagUnknown(errors.BadInput):
    """No tag has this name."""

    def __init__(self, name: str, near: Sequence[str]) -> None:
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        super().__init__(f"there is no tag {name}", f"{meant}./opentr.sh db tags lists them all")
        self.name = name
        self.near = list(near)


class UserUnknown(errors.BadInput):
    """No user has this email address."""

    def __init__(self, email: str, near: Sequence[str]) -> None:
        meant = f"did you mean {' or '.join(near)}?" if near else "check the spelling of the address"
        super().__init__(f"there is no user {email}", meant)
        self.email = email
        self.near = list(near)


class TablesMissing(errors.DbError):
    """The database isn't one of ours."""

    exit_code = 4

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} has no tables of OpenTranscribe", "correct the database's name in --dsn or DATABASE_URL"
        )


@dataclass(frozen=True)
class TagUse:
    """A tag and how many files carry it."""

    name: str
    files: int
    created_at: datetime | None


@dataclass(frozen=True)
class TaggedFile:
    """A file, as the list of files by tag shows it. `user` is the owner's email address."""

    id: int
    filename: str
    title: str | None
    user: str
    status: str | None
    upload_time: datetime
    tags: list[str]


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("tags", "Show tags, those that are unused or look alike, and files by tag. Changes nothing.")
    words.add_argument(
        "--tag", metavar="NAME", action="append", default=[], help="files that carry it; repeated: all of them"
    )
    words.add_argument("--user", metavar="EMAIL", help="only files of this user")
    words.add_argument(
        "--limit", metavar="N", type=int, default=_SHOWN_FILES, help=f"files to list (default: {_SHOWN_FILES})"
    )
    return words


def act(args: Namespace) -> Report:
    """Lists files where a tag or a user is named, tags otherwise.

    Raises `TagUnknown`, `UserUnknown`, `TablesMissing`, `RightsMissing`, and what connecting raises.
    """
    if args.limit < 1:
        raise errors.BadInput(f"--limit {args.limit} lists nothing", "type a number from 1 on")
    with _session(command.migrator_url(args)) as session:
        if args.tag or args.user:
            return _files_report(*files_by_tag(session, args.tag, args.user, limit=args.limit), args.limit)
        return _tags_report(tags_in_use(session))


@contextmanager
def _session(url: URL) -> Iterator[Session]:
    engine = connect.engine_for(url, application_name=APPLICATION_NAME, poolclass=NullPool)
    reading = engine.execution_options(postgresql_readonly=True)
    try:
        with connect.translated(url), Session(reading) as session:
            yield session
    except ProgrammingError as error:
        raise _table_error(error, url) from error
    finally:
        engine.dispose()


def _table_error(error: ProgrammingError, url: URL) -> Exception:
    code = getattr(error.orig, "pgcode", None)
    if code == _MISSING_TABLE:
        return TablesMissing(connect.describe(url))
    if code == _FORBIDDEN:
        hint = "give --dsn a role that reads the tables: app_ro, app_rw or app_migrator"
        return errors.RightsMissing(url.username or "current user", "read the tables of tags and files", hint)
    return error


def tags_in_use(session: Session) -> list[TagUse]:
    """All tags, those on most files first."""
    files = func.count(FileTag.id)
    statement = (
        select(Tag.name, files, Tag.created_at).outerjoin(FileTag).group_by(Tag.id).order_by(files.desc(), Tag.name)
    )
    return [TagUse(*row) for row in session.execute(statement)]


def files_by_tag(
    session: Session, names: Sequence[str], email: str | None, *, limit: int
) -> tuple[int, list[TaggedFile]]:
    """How many files carry all the named tags and belong to the user (None: anybody), and the newest `limit` of them.

    Raises `TagUnknown`, `UserUnknown`.
    """
    tag_ids = [_tag_id(session, name) for name in names]
    chosen = select(MediaFile.id)
    for tag_id in tag_ids:
        chosen = chosen.where(MediaFile.file_tags.any(FileTag.tag_id == tag_id))
    if email is not None:
        chosen = chosen.where(MediaFile.user_id == _user_id(session, email))
    total = session.execute(select(func.count()).select_from(chosen.subquery())).scalar_one()
    return total, [TaggedFile(*row) for row in session.execute(_described(chosen, limit))]


def _described(chosen: Select[tuple[int]], limit: int) -> Select[Any]:
    names = (
        select(func.coalesce(func.array_agg(Tag.name), []))
        .join(FileTag)
        .where(FileTag.media_file_id == MediaFile.id)
        .scalar_subquery()
    )
    columns = (MediaFile.id, MediaFile.filename, MediaFile.title, User.email, MediaFile.status, MediaFile.upload_time)
    newest = (MediaFile.upload_time.desc(), MediaFile.id.desc())
    return select(*columns, names).join(User).where(MediaFile.id.in_(chosen)).order_by(*newest).limit(limit)


def _tag_id(session: Session, name: str) -> int:
    found = session.execute(select(Tag.id).where(Tag.name == name)).scalar_one_or_none()
    if found is None:
        raise TagUnknown(name, _nearest(name, session.scalars(select(Tag.name)).all()))
    return found


def _user_id(session: Session, email: str) -> int:
    found = session.execute(select(User.id).where(User.email == email)).scalar_one_or_none()
    if found is None:
        raise UserUnknown(email, _nearest(email, session.scalars(select(User.email)).all()))
    return found


def _nearest(word: str, known: Sequence[str]) -> list[str]:
    folded = {name.casefold(): name for name in sorted(known)}
    return [folded[near] for near in get_close_matches(word.casefold(), folded)]


def _tags_report(tags: Sequence[TagUse]) -> Report:
    files = {tag.name: tag.files for tag in tags}
    unused = sorted(name for name, number in files.items() if not number)
    alike = look_alikes(list(files))
    data = {
        "tags": [vars(tag) for tag in tags],
        "unused": unused,
        "look_alikes": [
            {"names": pair.names, "files": [files[name] for name in pair.names], "differ_in": pair.differ_in}
            for pair in alike
        ],
    }
    parts: list[str | Table] = ["there are no tags"]
    if tags:
        parts = [Table("Tags", ("tag", "files", "made"), [(tag.name, tag.files, _day(tag.created_at)) for tag in tags])]
    return Report(data, [*parts, *_unused_part(unused), *_alike_part(alike, files)])


def _unused_part(unused: Sequence[str]) -> list[str | Table]:
    return [f"Not on any file: {', '.join(unused)}\n"] if unused else []


def _alike_part(pairs: Sequence[Pair], files: dict[str, int]) -> list[str | Table]:
    rows = [
        (first, files[first], second, files[second], " and ".join(pair.differ_in))
        for pair in pairs
        for first, second in [pair.names]
    ]
    return [Table("Tags that look alike", ("tag", "files", "other", "files", "differ in"), rows)] if rows else []


def _files_report(total: int, files: Sequence[TaggedFile], limit: int) -> Report:
    data = {"total": total, "files": [vars(file) | {"tags": sorted(file.tags)} for file in files]}
    if not files:
        return Report(data, ["no file"])
    rows = [
        (
            str(file.id),
            file.title or file.filename,
            file.user,
            file.status,
            _day(file.upload_time),
            ", ".join(sorted(file.tags)),
        )
        for file in files
    ]
    parts: list[str | Table] = [Table("Files", ("id", "file", "user", "status", "uploaded", "tags"), rows)]
    if total > limit:
        parts.append(f"the newest {limit} of {total}; --limit N shows more")
    return Report(data, parts)


def _day(moment: datetime | None) -> str | None:
    return moment.date().isoformat() if moment else None


if __name__ == "__main__":
    command.main(parser(), act)
