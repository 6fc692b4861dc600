from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from app.db.bulk import copy_rows
from app.db.connect import direct
from app.db.paging import LimitInvalid
from app.db.sample import make_sample
from app.db.samplerows import Size, sentence
from app.db.watch import count_statements
from app.models import Speaker, TranscriptSegment, User
from app.services.search import MAX_QUERY_CHARACTERS, Hit, QueryTooLong, parameters, statement
from app.services.search import search as page_of_hits
from app.services.transcripts import replace_segments
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL
    from sqlalchemy.orm import Session

    from app.models import MediaFile

RARE = ("nowhere", "fingroun", '"fingroun nowhere"')
SAME_DATABASE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def user(session: Session) -> User:
    return add_user(session)


def search(session: Session, user_id: int, q: str, limit: int | None = None) -> list[Hit]:
    return page_of_hits(session, user_id, q, limit=limit).rows


def _say(session: Session, file: MediaFile, *texts: str) -> None:
    rows = [{"start_time": n, "end_time": n + 1, "text": said} for n, said in enumerate(texts)]
    replace_segments(session, file.id, rows)


def _found(session: Session, user: User, q: str) -> set[int]:
    return {hit.id for hit in search(session, user.id, q)}


@pytest.mark.parametrize(
    ("q", "finds"),
    [
        ("budget", True),
        ("BUDGET", True),
        ("quarterly", True),
        ("report", True),
        ("quarterly report", True),
        ("quarterly_report-3.mp3", True),
        ("report-3", True),
        ('"quarterly report"', True),
        ("forecast", True),
        ("elephants", True),
        ("Elephants forget", True),
        ("budget forecast", True),
        ("budget elephants", False),
        ("elephants or nothing", True),
        ("elephants -forget", False),
        ("élan", True),
        ("会議", True),
        ("nothing", False),
        ("elephant", False),
    ],
)
def test_a_file_is_found_by_its_words(session: Session, q: str, finds: bool) -> None:  # noqa: FBT001
    user = add_user(session)
    file = add_file(session, user, title="The budget", filename="quarterly_report-3.mp3", summary="A forecast.")
    add_file(session, user)
    _say(session, file, "Good morning.", "Elephants don't forget.", "Un élan 会議 !")
    assert _found(session, user, q) == ({file.id} if finds else set())


def test_a_hit_tells_all_that_is_shown(session: Session, user: User) -> None:
    speakers = [
        Speaker(user_id=user.id, name="SPEAKER_00", display_name="Zoë"),
        Speaker(user_id=user.id, name="SPEAKER_01"),
        Speaker(user_id=user.id, name="SPEAKER_02", display_name="silent"),
    ]
    session.add_all(speakers)
    session.flush()
    uploaded = datetime(2025, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
    file = add_file(session, user, title="A talk", upload_time=uploaded)
    lines = [(0, "Welcome."), (1, "The elephants are coming."), (0, "More elephants."), (None, "Applause.")]
    rows = [
        {"start_time": n, "end_time": n + 1, "text": said, "speaker_id": None if who is None else speakers[who].id}
        for n, (who, said) in enumerate(lines)
    ]
    replace_segments(session, file.id, rows)
    (hit,) = search(session, user.id, "elephants")
    assert (hit.id, hit.title, hit.upload_time) == (file.id, "A talk", uploaded)
    assert hit.speakers == ["SPEAKER_01", "Zoë"]
    assert hit.snippet == "The elephants are coming."


def test_the_snippet_is_from_around_the_match_and_holds_no_markup(session: Session, user: User) -> None:
    file = add_file(session, user)
    _say(session, file, "before " * 200 + "<b>elephants</b> & more " + "after " * 200)
    (hit,) = search(session, user.id, "elephants")
    assert "elephants" in hit.snippet
    assert len(hit.snippet.split()) < 40
    (by_name,) = search(session, user.id, "talk.mp3")
    assert "talk.mp3" in by_name.snippet
    assert (by_name.title, by_name.speakers) == ("talk.mp3", [])


def test_newest_files_come_first_and_a_limit_cuts_the_rest(session: Session, user: User) -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    files = [add_file(session, user, title="same", upload_time=start + timedelta(days=n // 2)) for n in range(7)]
    for file in files[::2]:
        _say(session, file, "same", "same")
    ids = [file.id for file in reversed(files)]
    assert [hit.id for hit in search(session, user.id, "same")] == ids
    assert [hit.id for hit in search(session, user.id, "same", limit=3)] == ids[:3]
    assert [hit.id for hit in search(session, user.id, "same", limit=None)] == ids
    with pytest.raises(LimitInvalid):
        search(session, user.id, "same", limit=0)


def test_nobody_finds_others_files(session: Session, user: User) -> None:
    stranger = add_user(session)
    file = add_file(session, stranger, title="secret")
    _say(session, file, "secret")
    assert not search(session, user.id, "secret")
    assert _found(session, stranger, "secret") == {file.id}


@pytest.mark.parametrize(
    "q",
    ["", "   ", "...!?", "-", "--", '"', '""', "or", "-talk", "talk or -mp3", "\0", "\ud800", "&|!():*<->", "%s %(x)s"],
)
def test_odd_queries_find_nothing(session: Session, user: User, q: str) -> None:
    _say(session, add_file(session, user), "something else")
    assert search(session, user.id, q) == []


@pytest.mark.parametrize(
    "q", ["talk\0", "\ud800 talk", "talk'", 'talk"', "talk:*", "(talk)", "talk\\", "talk &", "%talk%"]
)
def test_odd_characters_around_a_word_do_no_harm(session: Session, user: User, q: str) -> None:
    file = add_file(session, user)
    assert _found(session, user, q) == {file.id}


def test_a_query_has_a_longest_length(session: Session, user: User) -> None:
    for longest in ("x" * MAX_QUERY_CHARACTERS, "🙂" * MAX_QUERY_CHARACTERS, "x " * (MAX_QUERY_CHARACTERS // 2)):
        assert search(session, user.id, longest) == []
    with pytest.raises(QueryTooLong) as caught:
        search(session, user.id, "x" * (MAX_QUERY_CHARACTERS + 1))
    assert caught.value.exit_code == 2


@SAME_DATABASE
@given(q=st.text(max_size=50) | st.text("-\"\\or &|!():*<>'a_.\0", max_size=50))
@example(q="a -")
def test_no_query_fails(session: Session, q: str) -> None:
    assert search(session, 1, q) == []


def test_a_search_is_one_statement_whatever_it_finds(session: Session, user: User) -> None:
    for number in range(20):
        _say(session, add_file(session, user, title=f"found {number}"), "also found")
    user_id = user.id
    with count_statements(session.get_bind()) as count:  # type: ignore[arg-type]
        assert len(search(session, user_id, "found")) == 20
    assert len(count) == 1


@pytest.fixture
def large(session: Session, database: URL, as_role: Callable[[URL, str], URL]) -> int:
    """A user with 300 files and 30,000 segments among others'; the id."""
    make_sample(session, Size(1, 300, 30_000), seed=1)
    make_sample(session, Size(20, 300, 3_000), seed=2)
    user_id = session.scalar(select(User.id).where(User.email.startswith("sample-1-")))
    assert user_id
    session.commit()
    owner = as_role(database, "app_migrator")
    with direct(owner, "tests") as connection:
        connection.execute(text("VACUUM ANALYZE transcript_segment, media_file, speaker"))
    return user_id


def _queries(session: Session) -> Iterator[str]:
    rng = random.Random(1)  # noqa: S311 - the same words each time
    yield from ("the", '"the and"', "the -and", "the or and", *RARE)
    words = sentence(rng, 20).lower().rstrip(".").split()
    yield from words
    for said in session.scalars(select(TranscriptSegment.text).order_by(TranscriptSegment.id).limit(5)):
        yield " ".join(said.rstrip(".").split()[:3])


def test_no_query_reads_a_whole_table(session: Session, large: int) -> None:
    compiled = statement().compile(session.get_bind())
    for q in _queries(session):
        given_now = {**compiled.params, **parameters(large, q, 20)}
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}"
        plan = session.connection().exec_driver_sql(explain, given_now).scalar_one()[0]["Plan"]
        read_whole = {node["Relation Name"] for node in _nodes(plan) if node["Node Type"] == "Seq Scan"}
        used = {node.get("Index Name") for node in _nodes(plan)}
        assert "transcript_segment_search_idx" in used, (q, plan)
        assert "transcript_segment" not in read_whole, (q, plan)
        if q in RARE:
            assert "media_file_search_idx" in used, (q, plan)
        if "the" not in q:  # which is in nearly all summaries: there the files are as well read in their order
            assert read_whole <= {"speaker"}, (q, plan)  # of one or two pages


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", []):
        yield from _nodes(below)


def test_search_finds_what_reading_everything_would(session: Session, large: int) -> None:
    for q in ("the and", "fingroun", "to -the"):
        query = func.websearch_to_tsquery("simple", q)
        said = select(TranscriptSegment.media_file_id).where(
            func.to_tsvector("simple", TranscriptSegment.text).op("@@")(query)
        )
        ids = {hit.id for hit in search(session, large, q, limit=None)}
        files = {file for (file,) in session.execute(said)}
        mine = set(session.scalars(text("SELECT id FROM media_file WHERE user_id = :user"), {"user": large}))
        assert files & mine <= ids


def test_copied_rows_are_found_at_once(session: Session, user: User) -> None:
    file_id = add_file(session, user).id
    rows = [(file_id, 0, 1, f"word{number}") for number in range(1000)]
    copy_rows(session, TranscriptSegment, rows, ("media_file_id", "start_time", "end_time", "text"))
    assert all(_found(session, user, f"word{number}") == {file_id} for number in (0, 500, 999))
