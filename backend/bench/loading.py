"""Loading segments: `bulk` against bare `copy_expert` of prepared text, and against the ORM."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.db.bulk import copy_rows
from app.db.sample import make_sample
from app.db.samplerows import FilePlace, Sample, Size
from app.models import MediaFile, Speaker, TranscriptSegment, User
from bench.figures import Clock, take_turns
from bench.places import engine_on, run
from tests.servers import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

    from bench.figures import Bench

Row = tuple[Any, ...]
COLUMNS = ("media_file_id", "speaker_id", "start_time", "end_time", "text")
BARE = f"COPY transcript_segment ({', '.join(COLUMNS)}) FROM STDIN"
CHUNKS = 10
FILES = 1000
ORM_ROWS = 10_000
ORM_ROUNDS = 3


def measure(bench: Bench) -> None:
    """All segments in ten chunks, by turns into two databases; then some of them by the ORM."""
    urls = [bench.stack.enter_context(bench.server.clone(HEAD)) for _ in range(2)]
    with ExitStack() as stack:
        engines = [stack.enter_context(engine_on(url)) for url in urls]
        clock = _against_bare_copy(engines, bench.segments)
    bench.loaded = urls[0]
    rows = [
        ("bulk.copy_rows", clock.total("bulk"), bench.segments / clock.total("bulk")),
        ("bare copy_expert, text prepared", clock.total("bare"), bench.segments / clock.total("bare")),
        ("ratio of the sums", clock.total("bare") / clock.total("bulk"), None),
        ("ratio, median of the chunks", clock.paired_ratio("bare", "bulk"), None),
    ]
    title = f"{bench.segments:,} segments into the real table, all keys and indexes (goal: 0.85 or more)"
    bench.add(title, ("by", "s, or ratio", "rows/s"), rows)
    bench.add(
        f"{ORM_ROWS:,} segments by the ORM's add_all, times that bulk takes",
        ("table", "bulk ms", "add_all ms", "ratio"),
        [_against_orm(bench, full_text=full_text) for full_text in (True, False)],
    )


def _against_bare_copy(engines: list[Engine], segments: int) -> Clock:
    clock = Clock()
    sources = [_rows(_prepared(engine), segments) for engine in engines]
    size = -(-segments // CHUNKS)
    for turn in range(CHUNKS):
        rows = list(islice(sources[0], size))
        with tempfile.TemporaryFile() as file:
            _write(file, islice(sources[1], size))
            by_bulk = partial(_timed, clock, "bulk", engines[0], partial(_bulk, rows))
            by_copy = partial(_timed, clock, "bare", engines[1], partial(_bare, file))
            take_turns(turn, by_bulk, by_copy)
    _check_equal(engines, segments)
    return clock


def _prepared(engine: Engine) -> list[FilePlace]:
    """One user with files that wait for their segments."""
    with Session(engine) as session, session.begin():
        make_sample(session, Size(users=1, files=FILES, segments=0))
        user_id = session.scalars(select(User.id)).one()
        speakers = list(session.scalars(select(Speaker.id).order_by(Speaker.id)))
        return [
            FilePlace(id_, user_id, speakers) for id_ in session.scalars(select(MediaFile.id).order_by(MediaFile.id))
        ]


def _rows(places: list[FilePlace], segments: int) -> Iterator[Row]:
    sample = Sample(Size(users=1, files=len(places), segments=segments), seed=1, run=1)
    for number, place in enumerate(places):
        yield from sample.segments(number, place)


def _write(file: IO[bytes], rows: Iterator[Row]) -> None:
    """The text of rows whose words need no escapes."""
    for row in rows:
        file.write(("\t".join(r"\N" if value is None else str(value) for value in row) + "\n").encode())
    file.seek(0)


def _timed(clock: Clock, name: str, engine: Engine, load: Any) -> None:  # noqa: ANN401 - a partial
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        with clock.time(name):
            load(session)
            session.commit()


def _bulk(rows: list[Row], session: Session) -> None:
    copy_rows(session, TranscriptSegment, rows, COLUMNS)


def _bare(file: IO[bytes], session: Session) -> None:
    cursor: Any = session.connection().connection.cursor()
    cursor.copy_expert(BARE, file)
    cursor.close()


def _orm(rows: list[Row], session: Session) -> None:
    session.add_all(TranscriptSegment(**dict(zip(COLUMNS, row, strict=True))) for row in rows)


def _check_equal(engines: list[Engine], segments: int) -> None:
    whole = func.hashtext(func.concat_ws("|", *(TranscriptSegment.__table__.c[name] for name in COLUMNS)))
    content = func.sum(whole), func.count()
    found = set()
    for engine in engines:
        with Session(engine) as session:
            found.add(tuple(session.execute(select(*content)).one()))
    if len(found) != 1 or found.pop()[1] != segments:
        raise AssertionError("the two databases differ, so the times mean nothing")


def _against_orm(bench: Bench, *, full_text: bool) -> Row:
    clock = Clock()
    with ExitStack() as stack:
        engines = [_small(stack, bench, full_text=full_text) for _ in range(2)]
        rows = list(_rows(_prepared(engines[0]), ORM_ROWS * ORM_ROUNDS))
        _prepared(engines[1])
        for turn in range(ORM_ROUNDS):
            part = rows[turn * ORM_ROWS : (turn + 1) * ORM_ROWS]
            by_bulk = partial(_timed, clock, "bulk", engines[0], partial(_bulk, part))
            by_orm = partial(_timed, clock, "orm", engines[1], partial(_orm, part))
            take_turns(turn, by_bulk, by_orm)
    name = f"all keys and indexes{'' if full_text else ', without the full-text one'}"
    return name, clock.median_ms("bulk"), clock.median_ms("orm"), clock.paired_ratio("orm", "bulk")


def _small(stack: ExitStack, bench: Bench, *, full_text: bool) -> Engine:
    url: URL = stack.enter_context(bench.server.clone(HEAD))
    if not full_text:
        run(url, "DROP INDEX transcript_segment_search_idx")
    return stack.enter_context(engine_on(url))
