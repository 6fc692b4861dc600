"""`python -m app.db.sample`: adds made-up users with recordings to a database, as many as wanted, in one transaction.

What is there stays as it is. The same seed in an empty database gives the same content. Nobody can log in as a sample
user: their password is random and told to nobody.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from psycopg2.errors import InsufficientPrivilege, LockNotAvailable, QueryCanceled, UndefinedColumn, UndefinedTable
from sqlalchemy import exc, exists, func, select, text
from sqlalchemy.orm import Session

from app.db import bulk, command, connect, errors
from app.db.report import Report, Table
from app.db.samplerows import ADDRESS, SPEAKERS_PER_USER, TAGS, FilePlace, Sample, Size
from app.models import Analytics, Comment, FileTag, MediaFile, Speaker, Tag, Task, TranscriptSegment, User

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import URL

    from app.db.base import Base

APPLICATION_NAME = "opentr-sample"
_FILES_AT_ONCE = 200
_SEGMENTS_AT_ONCE = 100_000
"""Rows of one COPY: it must stay far below app_rw's statement timeout."""

_IDS_AT_ONCE = 10_000
"""Ids of one statement: between two of them Ctrl-C is heard."""

_MOST = Size(users=100_000, files=10_000_000, segments=1_000_000_000)
"""So many segments are hundreds of gigabytes, and nearly half of all ids that an int4 sequence has."""

_SEEDS = range(-(2**63), 2**63)
"""A bigint's, which leave the addresses short enough for their column."""

_LOCK = 0x73616D706C65  # "sample"; a key of advisory locks that nothing else takes
_SEQUENCES = text(
    """
    SELECT t.name, (s.max_value - coalesce(s.last_value, s.start_value - s.increment_by)) / s.increment_by AS remaining
    FROM unnest(CAST(:tables AS text[])) AS t (name)
    JOIN pg_sequences AS s
        ON format('%I.%I', s.schemaname, s.sequencename) = pg_get_serial_sequence(quote_ident(t.name), 'id')
    """
)

_SEGMENT_COLUMNS = ("media_file_id", "speaker_id", "start_time", "end_time", "text")
_COMMENT_COLUMNS = ("media_file_id", "user_id", "text", "timestamp")


class SampleBusy(errors.DbError):
    """Another sample is being written to the same database, and takes longer than this role may wait."""

    def __init__(self) -> None:
        super().__init__("another sample is being written to this database", "wait until it is done, then try again")


def make_sample(
    session: Session, size: Size, seed: int = 0, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Adds a sample in the session's transaction; returns the number of new rows by table. Commits nothing.

    `progress` is called with the number of files and segments written since its last call. Memory doesn't grow with the
    size, but for 40 bytes a user. Samples wait for each other. Raises `BadInput` for a size or a seed that can't be, or
    ids that wouldn't last, and `SampleBusy`.
    """
    _check(size, seed)
    _lock(session)
    _check_ids(session, size)
    return _Writer(session, Sample(size, seed, _next_run(session, seed)), progress or (lambda _: None)).write()


def _check(size: Size, seed: int) -> None:
    if size.users < 1 or size.files < 0 or size.segments < 0:
        raise errors.BadInput("a sample needs a user or more, and no negative numbers", "give --users 1 or more")
    if size.segments and not size.files:
        raise errors.BadInput("segments belong to files, and there are to be none", "give --files 1 or more")
    for name, most in asdict(_MOST).items():
        if getattr(size, name) > most:
            raise errors.BadInput(f"a sample has {most:,} {name} at the most", f"give --{name} {most} or less")
    if seed not in _SEEDS:
        raise errors.BadInput("the seed is out of range", f"give --seed a number from {_SEEDS[0]} to {_SEEDS[-1]}")


def _lock(session: Session) -> None:
    """One sample at a time: two that find the same last run would take the same addresses."""
    try:
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    except exc.OperationalError as error:
        if isinstance(error.orig, LockNotAvailable | QueryCanceled):
            raise SampleBusy from error
        raise


def _check_ids(session: Session, size: Size) -> None:
    """Refuses what would use up a sequence: what is drawn doesn't come back, and then nobody can add a row any more."""
    needed = size.ids_at_most()
    for table, remaining in session.execute(_SEQUENCES, {"tables": list(needed)}):
        if needed[table] > remaining:
            raise errors.BadInput(
                f"the table {table} has {remaining:,} ids left, and this sample may take {needed[table]:,}",
                "make a smaller sample, or use another database",
            )


def _holds_people(session: Session) -> bool:
    """Whether there is a user who isn't a sample's."""
    return bool(session.scalar(select(exists().where(~User.email.regexp_match(ADDRESS)))))


def _next_run(session: Session, seed: int) -> int:
    """The first number that no address of this seed has."""
    prefix = f"sample-{seed}-"
    run = func.substring(User.email, f"^{prefix}([0-9]{{1,9}})-[0-9]+@example[.]org$")
    last = session.scalar(
        select(func.max(run.cast(User.id.type))).where(User.email.startswith(prefix, autoescape=True))
    )
    return (last or 0) + 1


class _Writer:
    """Writes a sample, a few hundred files at a time."""

    def __init__(self, session: Session, sample: Sample, progress: Callable[[int], None]) -> None:
        self._session = session
        self._sample = sample
        self._progress = progress
        self._counts: dict[str, int] = {}

    def write(self) -> dict[str, int]:
        """Everything; returns the number of rows by table."""
        users = self._users()
        speakers = self._speakers(users)
        tag_ids = self._tags()
        size = self._sample.size
        for first in range(0, size.files, _FILES_AT_ONCE):
            numbers = range(first, min(first + _FILES_AT_ONCE, size.files))
            ids = self._new_ids(MediaFile, len(numbers))
            places = {
                number: FilePlace(identity, users[number % size.users], speakers[number % size.users])
                for number, identity in zip(numbers, ids, strict=True)
            }
            self._files(places, tag_ids)
        return self._counts

    def _copy(self, model: type[Base], rows: Iterable[Any], columns: Sequence[str] | None = None) -> int:
        written = bulk.copy_rows(self._session, model, rows, columns)
        name = str(model.__tablename__)
        self._counts[name] = self._counts.get(name, 0) + written
        return written

    def _new_ids(self, model: type[Base], count: int) -> list[int]:
        """Ids from the table's own sequence, so that nobody else gets them."""
        sequence = func.pg_get_serial_sequence(func.quote_ident(model.__tablename__), "id")
        ids: list[int] = []
        while missing := count - len(ids):
            series = func.generate_series(1, min(missing, _IDS_AT_ONCE)).alias()
            ids += self._session.scalars(select(func.nextval(sequence)).select_from(series))
        return ids

    def _users(self) -> list[int]:
        from app.core.security import get_password_hash

        nobody_knows = get_password_hash(secrets.token_urlsafe(32))
        ids = self._new_ids(User, self._sample.size.users)
        self._copy(User, (self._sample.user(number, id_, nobody_knows) for number, id_ in enumerate(ids)))
        return ids

    def _speakers(self, users: Sequence[int]) -> list[Sequence[int]]:
        """The speakers' ids of each user."""
        ids = self._new_ids(Speaker, len(users) * SPEAKERS_PER_USER)
        owners = (user for user in users for _ in range(SPEAKERS_PER_USER))
        numbered = enumerate(zip(ids, owners, strict=True))
        self._copy(Speaker, (self._sample.speaker(number, id_, user) for number, (id_, user) in numbered))
        return [ids[start : start + SPEAKERS_PER_USER] for start in range(0, len(ids), SPEAKERS_PER_USER)]

    def _tags(self) -> list[int]:
        rows = ({"name": name} for name in TAGS)
        self._counts["tag"] = bulk.upsert_rows(self._session, Tag, rows, conflict=["name"])
        return list(self._session.scalars(select(Tag.id).where(Tag.name.in_(TAGS)).order_by(Tag.name)))

    def _files(self, places: dict[int, FilePlace], tag_ids: Sequence[int]) -> None:
        """These files and all that belongs to them."""
        sample, copy = self._sample, self._copy
        self._progress(copy(MediaFile, (sample.file(number, place) for number, place in places.items())))
        self._segments(places)
        copy(
            FileTag,
            _each(lambda number, place: sample.tags(number, place, tag_ids), places),
            ["media_file_id", "tag_id"],
        )
        copy(Comment, _each(sample.comments, places), _COMMENT_COLUMNS)
        copy(Task, (sample.task(number, place) for number, place in places.items()))
        with_segments = ((number, place) for number, place in places.items() if sample.segments_of(number))
        copy(Analytics, (sample.analytics(number, place) for number, place in with_segments))

    def _segments(self, places: dict[int, FilePlace]) -> None:
        rows = _each(self._sample.segments, places)
        while written := self._copy(TranscriptSegment, islice(rows, _SEGMENTS_AT_ONCE), _SEGMENT_COLUMNS):
            self._progress(written)


def _each(make: Callable[[int, FilePlace], Iterator[Any]], places: dict[int, FilePlace]) -> Iterator[Any]:
    return chain.from_iterable(make(number, place) for number, place in places.items())


@contextmanager
def _shown_progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda rows: bar.advance(task, rows)


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    """Names the usual reasons why a database doesn't take the rows."""
    try:
        yield
    except exc.ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable | UndefinedColumn):
            hint = "bring its schema to head first: ./opentr.sh db current shows where it stands"
            raise errors.BadInput(f"{connect.describe(url)} hasn't got the tables of this release", hint) from error
        if isinstance(error.orig, InsufficientPrivilege):
            raise errors.RightsMissing(str(url.username), "write these rows", "give app_rw's address: --dsn") from error
        raise


def parser() -> command.Parser:
    """The words that this verb understands."""
    words = command.parser("sample", "Add made-up users with recordings and transcripts to a database.")
    words.prog = "python -m app.db.sample"
    words.add_argument("--users", type=int, default=3, help="new users (default: %(default)s)")
    words.add_argument(
        "--files", type=int, default=60, help="recordings of all of them together (default: %(default)s)"
    )
    words.add_argument(
        "--segments", type=int, default=6000, help="segments of all files together (default: %(default)s)"
    )
    words.add_argument("--seed", type=int, default=0, help="another number makes other content (default: %(default)s)")
    words.add_argument("--yes", action="store_true", help="don't ask, though the database has users who aren't made up")
    return words


def act(args: argparse.Namespace) -> Report:
    """Writes the sample and reports the number of new rows.

    Raises what `make_sample` raises, and `RightsMissing`.
    A database that holds a user who isn't a sample's is somebody's own: raises `ConfirmationNeeded` unless they agree.
    """
    from app.core.config import settings

    url = connect.parse_url(args.dsn or settings.DATABASE_URL)
    size = Size(args.users, args.files, args.segments)
    _check(size, args.seed)
    engine = connect.engine_for(url, application_name=APPLICATION_NAME)
    with Session(engine) as session:
        with connect.translated(url):
            session.connection()
        with _explained(url):
            others = _holds_people(session)
        session.rollback()  # the server ends a transaction that waits for an answer
        if others:
            command.confirmed(args, f"add {size.users} made-up users to {connect.describe(url)}")
        with _shown_progress(size.files + size.segments) as progress, _explained(url):
            counts = make_sample(session, size, args.seed, progress)
        session.commit()
    rows = [(name, count) for name, count in counts.items() if count]
    return Report({"rows": counts}, [Table("New rows", ("table", "rows"), rows)])


if __name__ == "__main__":
    command.main(parser(), act)
