from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.core.security import verify_password
from app.db import command, connect, errors, sample
from app.db.sample import make_sample
from app.db.samplerows import Size
from app.db.watch import count_statements
from app.models import FileStatus, MediaFile, Speaker, Tag, TranscriptSegment, User
from tests.db.rows import TABLES, all_rows
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

SMALL = Size(users=2, files=45, segments=300)


def _command(url: URL, *words: str) -> subprocess.CompletedProcess[str]:
    dsn = url.render_as_string(hide_password=False)
    argv = [sys.executable, "-m", "app.db.sample", "--dsn", dsn, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def _rows(session: Session) -> dict[str, list[Any]]:
    session.flush()
    questions = {table: text(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id") for table in TABLES}
    return {table: list(session.scalars(question)) for table, question in questions.items()}


def test_a_sample_has_the_size_that_was_asked_for(session: Session) -> None:
    counts = make_sample(session, SMALL)
    assert (counts["user"], counts["media_file"], counts["transcript_segment"]) == (2, 45, 300)
    found = {table: len(rows) for table, rows in _rows(session).items()}
    assert found == {f'"{name}"' if name == "user" else name: count for name, count in counts.items()} | {
        "tag": counts["tag"] + 4  # the default ones
    }
    assert min(counts.values()) > 0


@pytest.mark.parametrize(
    "size", [Size(1, 0, 0), Size(3, 1, 0), Size(1, 1, 7), Size(5, 3, 2), Size(1, 401, 13), Size(1, 40, 7)]
)
def test_small_and_odd_sizes_come_out_exactly(session: Session, size: Size) -> None:
    counts = make_sample(session, size)
    assert counts["user"] == size.users
    assert counts.get("media_file", 0) == size.files
    assert counts.get("transcript_segment", 0) == size.segments


@pytest.mark.parametrize("size", [Size(0, 1, 1), Size(1, -1, 0), Size(1, 0, 1), Size(1, 1, -1)])
def test_sizes_that_cannot_be_are_refused(session: Session, size: Size) -> None:
    with pytest.raises(errors.BadInput):
        make_sample(session, size)


def test_the_same_seed_makes_the_same_content_and_another_one_other(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def content(seed: int) -> dict[str, list[Any]]:
        with session.begin_nested() as savepoint:
            for table in TABLES:
                session.execute(text(f"SELECT nextval(pg_get_serial_sequence('{table}', 'id'))"))
            make_sample(session, SMALL, seed)
            rows = _rows(session)
            savepoint.rollback()
        return {table: [_without_keys(row) for row in found] for table, found in rows.items()}

    first = content(7)
    monkeypatch.setattr(sample, "_FILES_AT_ONCE", 4)
    monkeypatch.setattr(sample, "_SEGMENTS_AT_ONCE", 13)
    assert _sorted(content(7)) == _sorted(first)
    assert _sorted(content(8)) != _sorted(first)


def _without_keys(row: dict[str, Any]) -> dict[str, Any]:
    keys = {"hashed_password", "storage_path", "speaker_stats", "created_at", "updated_at"}
    return {name: value for name, value in row.items() if name not in keys and not name.endswith("id")}


def _sorted(content: dict[str, list[Any]]) -> dict[str, list[str]]:
    return {table: sorted(json.dumps(row, sort_keys=True) for row in rows) for table, rows in content.items()}


def test_what_is_there_stays_as_it_is(session: Session) -> None:
    add_file(session, add_user(session))
    session.add(Tag(name="Lecture"))
    before = _rows(session)
    make_sample(session, SMALL)
    make_sample(session, SMALL)
    after = _rows(session)
    for table, rows in before.items():
        assert [row for row in after[table] if row in rows] == rows, table
    assert len(after["media_file"]) == 1 + 2 * SMALL.files


def test_addresses_of_people_do_not_disturb_the_numbering(session: Session) -> None:
    for odd in ("sample-0-7-1@example.org", "sample-0-99x-1@example.org", "sample-0-99999999999-1@example.org"):
        add_user(session).email = odd
    make_sample(session, Size(1, 0, 0))
    assert session.scalar(select(User.email).order_by(User.id.desc()).limit(1)) == "sample-0-8-0@example.org"


def test_rows_made_later_get_new_ids(session: Session) -> None:
    make_sample(session, SMALL)
    session.expunge_all()
    user = add_user(session)
    assert add_file(session, user).id > max(session.scalars(select(MediaFile.id).where(MediaFile.user_id != user.id)))


def test_the_content_hangs_together(session: Session) -> None:
    make_sample(session, SMALL)
    wrong_speaker = (
        select(func.count())
        .select_from(TranscriptSegment)
        .join(MediaFile)
        .join(Speaker, Speaker.id == TranscriptSegment.speaker_id)
    )
    assert session.scalar(wrong_speaker.where(Speaker.user_id != MediaFile.user_id)) == 0
    assert session.scalar(wrong_speaker.where(MediaFile.status != FileStatus.COMPLETED)) == 0
    assert set(session.scalars(select(MediaFile.status))) == set(FileStatus)
    path = "user_" + func.concat(MediaFile.user_id, "/file_", MediaFile.id, "/", MediaFile.filename)
    assert session.scalar(select(func.count()).where(MediaFile.storage_path != path)) == 0


def test_nobody_can_log_in_as_a_sample_user(session: Session) -> None:
    make_sample(session, Size(2, 0, 0))
    (hashed,) = set(session.scalars(select(User.hashed_password)))
    assert hashed.startswith("$argon2id$")
    assert not any(verify_password(guess, hashed) for guess in ("", "password", "sample"))


def test_memory_does_not_grow_with_the_size(session: Session) -> None:
    def peak(files: int) -> int:
        tracemalloc.start()
        try:
            make_sample(session, Size(1, files, files * 2))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(800) < peak(200) * 1.5


def test_the_command_reports_what_it_made(database: URL, as_role: Callable[[URL, str], URL]) -> None:
    done = _command(as_role(database, "app_rw"), "--users", "1", "--files", "2", "--segments", "5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["rows"]
    assert (rows["user"], rows["media_file"], rows["transcript_segment"]) == (1, 2, 5)
    assert len(all_rows(database, ["transcript_segment"])["transcript_segment"]) == 5


def test_a_failure_in_the_middle_leaves_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_FILES_AT_ONCE", 10)

    def progress(_rows: int) -> None:
        session.execute(text("SELECT 1 / (count(*) - 20) FROM media_file"))

    with pytest.raises(DBAPIError):
        make_sample(session, SMALL, 0, progress)
    session.rollback()
    assert not session.scalar(select(func.count()).select_from(User))
    assert session.execute(delete(User)).rowcount == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--users", "0"], 2, "--users 1 or more"),
        (["--files", "x"], 2, "invalid int value"),
        (["--fils", "1"], 2, "did you mean --files?"),
        (["--files", "0"], 2, "--files 1 or more"),
    ],
)
def test_wrong_words_are_refused_in_two_lines(
    words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run(sample.parser(), sample.act, words) == code
    lines = capsys.readouterr().err.splitlines()
    assert said in "\n".join(lines)
    assert len(lines) == 2


def test_a_database_without_tables_or_rights_is_named(
    empty_database: URL, database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    for url, code, said in [
        (as_role(empty_database, "app_rw"), 2, "hasn't got the tables"),
        (as_role(database, "app_ro"), 4, "app_ro may not"),
        (as_role(database, "app_rw").set(port=1), 1, "doesn't answer"),
    ]:
        words = ["--dsn", url.render_as_string(hide_password=False)]
        assert command.run(sample.parser(), sample.act, words) == code
        lines = capsys.readouterr().err.splitlines()
        assert said in lines[0]
        assert len(lines) == 2


@pytest.mark.parametrize(
    ("size", "seed", "said"),
    [
        (Size(100_001, 0, 0), 0, "100,000"),
        (Size(1, 10_000_001, 0), 0, "10,000,000"),
        (Size(1, 1, 1_000_000_001), 0, "1,000,000,000"),
        (Size(1, 0, 0), 2**63, "seed"),
        (Size(1, 0, 0), -(2**63) - 1, "seed"),
        (Size(1, 0, 0), 10**30, "seed"),
    ],
)
def test_what_is_too_large_is_refused_before_anything_is_asked(
    session: Session, size: Size, seed: int, said: str
) -> None:
    with pytest.raises(errors.BadInput, match=said):
        make_sample(session, size, seed)
    assert not session.in_transaction()


@pytest.mark.parametrize("seed", [-(2**63), 2**63 - 1])
def test_the_longest_seeds_will_do(session: Session, seed: int) -> None:
    assert make_sample(session, Size(1, 1, 1), seed)["user"] == 1


@pytest.mark.parametrize(("table", "left"), [("user", 1), ("speaker", 15), ("media_file", 44), ("comment", 100)])
def test_a_sequence_without_enough_left_is_refused_and_not_drawn_from(
    session: Session, database: URL, table: str, left: int
) -> None:
    with connect.direct(database, "tests") as owner:
        sequence = owner.scalar(text("SELECT pg_get_serial_sequence(quote_ident(:t), 'id')"), {"t": table})
        top = owner.scalar(text("SELECT max_value FROM pg_sequences WHERE sequencename = :s"), {"s": f"{table}_id_seq"})
        owner.execute(text("SELECT setval(:s, :v)"), {"s": sequence, "v": top - left})
    with pytest.raises(errors.BadInput, match=f"{left} ids left") as caught:
        make_sample(session, SMALL)
    assert table in caught.value.what
    last = text("SELECT last_value FROM pg_sequences WHERE sequencename = 'user_id_seq'")
    assert session.scalar(last) in (None, top - left)


def test_ids_are_drawn_in_pieces(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "_IDS_AT_ONCE", 7)
    with count_statements(session.get_bind().engine) as count:
        make_sample(session, Size(15, 0, 0))
    assert sum("nextval" in statement for statement in count.statements) == 3 + 18  # users, speakers
    assert session.scalar(select(func.count()).select_from(Speaker)) == 120


def test_a_database_with_people_in_it_asks_first(
    session: Session, database: URL, as_role: Callable[[URL, str], URL]
) -> None:
    url, few = as_role(database, "app_rw"), ("--users", "2", "--files", "1", "--segments", "1")
    assert _command(url, *few, "--seed=-5").returncode == 0
    assert _command(url, *few).returncode == 0  # the sample's own users are no people
    add_user(session)
    session.commit()
    before = session.scalar(select(func.count()).select_from(User))
    refused = _command(url, *few)
    assert refused.returncode == 3
    assert f"add 2 made-up users to {connect.describe(url)}" in refused.stderr
    assert session.scalar(select(func.count()).select_from(User)) == before
    assert _command(url, *few, "--yes").returncode == 0


def test_two_samples_of_one_seed_wait_for_each_other(session: Session) -> None:
    make_sample(session, SMALL)

    def second() -> dict[str, int]:
        with Session(session.get_bind()) as other, other.begin():
            return make_sample(other, SMALL)

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(second)
        asked = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        while not session.scalar(asked):
            assert not waiting.done()
        session.commit()
        assert waiting.result(timeout=60)["user"] == SMALL.users


def test_a_sample_that_waits_too_long_says_for_what(session: Session) -> None:
    make_sample(session, Size(1, 0, 0))
    with Session(session.get_bind()) as other:
        other.execute(text("SET LOCAL lock_timeout = 50"))
        with pytest.raises(sample.SampleBusy):
            make_sample(other, Size(1, 0, 0))


def test_it_names_itself_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample.parser().format_usage().startswith("usage: python -m app.db.sample ")
    assert command.run(sample.parser(), sample.act, ["--fils", "1"]) == 2
    assert capsys.readouterr().err.splitlines()[1] == "type python -m app.db.sample --help"
