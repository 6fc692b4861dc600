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
from typing import TYPE_CHECKING

from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.db import command, connect, errors
from app.db.likeness import look_alikes
from app.db.report import Report, Table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import URL

    from app.db.likeness import Pair
    from app.db.tagged import TaggedFile, TagUse

APPLICATION_NAME = "opentr tags"
_SHOWN_FILES = 100
_SHOWN_UNUSED = 30
_MISSING_TABLE, _FORBIDDEN = "42P01", "42501"  # PostgreSQL, Appendix A


class TablesMissing(errors.DbError):
    """The database isn't one of ours."""

    exit_code = 4

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} has no tables of OpenTranscribe", "correct the database's name in --dsn or DATABASE_URL"
        )


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
    from app.db.tagged import files_by_tag, tags_in_use  # imports the settings, whose errors are for the edge

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
    if not unused:
        return []
    left_out = len(unused) - _SHOWN_UNUSED
    more = f", and {left_out} more" if left_out > 0 else ""
    return [f"Not on any file: {', '.join(unused[:_SHOWN_UNUSED])}{more}\n"]


def _alike_part(pairs: Sequence[Pair], files: dict[str, int]) -> list[str | Table]:
    rows = [
        (first, files[first], second, files[second], " and ".join(pair.differ_in))
        for pair in pairs
        for first, second in [pair.names]
    ]
    return [Table("Tags that look alike", ("tag", "files", "other", "files", "differ in"), rows)] if rows else []


def _files_report(total: int, files: Sequence[TaggedFile], limit: int) -> Report:
    data = {"total": total, "files": [vars(file) for file in files]}
    if not files:
        return Report(data, ["no file"])
    rows = [
        (
            str(file.id),
            file.title or file.filename,
            file.user,
            file.status,
            _day(file.upload_time),
            ", ".join(file.tags),
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
