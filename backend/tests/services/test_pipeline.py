"""From a file in the store to segments, speaker, figures and a finished task, on a real database."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from app.core.config import Settings
from app.db.session_utils import session_scope
from app.models import Analytics, FileStatus, MediaFile, Speaker, TranscriptSegment
from app.services import pipeline, work
from app.services.transcripts import MediaFileMissing
from app.storage.stores import media_store
from app.transcription import whisper
from app.transcription.engine import Segment, Window
from app.transcription.errors import CutOff, FileEmpty, FileMissing, NoSound, NothingInside, NotMedia, Unusable
from tests.recordings import add_file, add_user
from tests.speech import cut, record, silence, spoken, word_error_rate
from tests.working import claimed, enqueue, file_status, task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from app.storage.media_store import MediaStore

pytestmark = pytest.mark.usefixtures("application")
ODD = "wörk “shop” №1; rm -rf $HOME 'x'\n.mp4"


class Told:
    """An engine that says what it is told, a segment a window."""

    def __init__(self, *segments: Segment) -> None:
        self.segments = segments
        self.languages: list[str | None] = []

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        self.languages.append(language)
        for _ in windows:
            yield from self.segments


@functools.cache
def ears() -> whisper.Whisper:
    return whisper.load(Settings(WHISPER_THREADS=1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "media"
    path.mkdir()
    return path


@pytest.fixture
def store(folder: Path) -> MediaStore:
    return media_store(Settings(MEDIA_ROOT=folder))


@pytest.fixture
def uploaded(folder: Path) -> Callable[..., int]:
    """A function: the id of a file whose bytes are in the store, by the name that it has there."""

    def upload(make: Callable[[Path], object], name: str = "talk.wav", **columns: Any) -> int:  # noqa: ANN401
        with session_scope() as session:
            path = folder / "user_1" / "file_1" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
            return add_file(session, add_user(session), storage_path=f"user_1/file_1/{name}", **columns).id

    return upload


def transcribed(store: MediaStore, file_id: int, engine: Any) -> list[float]:  # noqa: ANN401
    shares: list[float] = []
    pipeline.transcribe(claimed(enqueue(file_id)), shares.append, store, engine)
    return shares


def told(*words: str, **named: str) -> Told:
    return Told(*(Segment(n, n + 0.5, text, "en", **named) for n, text in enumerate(words)))


def rows(file_id: int) -> list[tuple[float, float, str, str | None]]:
    with session_scope() as session:
        wanted = select(TranscriptSegment, Speaker.name).outerjoin(Speaker).order_by(TranscriptSegment.start_time)
        found = session.execute(wanted.where(TranscriptSegment.media_file_id == file_id)).all()
        return [(segment.start_time, segment.end_time, segment.text, name) for segment, name in found]


def test_speech_becomes_a_transcript_with_all_that_belongs_to_it(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, spoken(), pictures=True, tags={"title": "Plans"}), "talk.mp4")
    shares = transcribed(store, file_id, ears())
    heard = rows(file_id)
    assert word_error_rate(" ".join(text for _, _, text, _ in heard)) <= 0.05
    assert {name for *_, name in heard} == {"Speaker 1"}
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (pipeline.PROBED, pipeline.HEARD)
    with session_scope() as session:
        file = session.get_one(MediaFile, file_id)
        assert (file.status, file.language, file.title, file.media_format) == ("completed", "en", "Plans", "mp4")
        assert file.completed_at is not None
        assert file.duration == pytest.approx(len(spoken()) / 16_000, abs=0.2)
        figures = session.scalars(select(Analytics).where(Analytics.media_file_id == file_id)).one()
        (stats,) = figures.speaker_stats.values()
        assert stats["words"] == sum(len(text.split()) for _, _, text, _ in heard)
        assert {"word": "budget", "count": 3} in figures.keywords


def test_the_task_ends_with_it(store: MediaStore, uploaded: Callable[..., int]) -> None:
    claim = claimed(enqueue(uploaded(lambda path: record(path, silence(1)))))
    pipeline.transcribe(claim, lambda _: None, store, told("one"))
    ended = task(claim.task_id)
    assert (ended.status, ended.progress, ended.error_message) == ("completed", 1.0, None)


@pytest.mark.parametrize("name", [ODD, "-", "%d.wav", "file:x.wav", "a" * 200 + ".mp4"])
def test_an_odd_file_name_is_no_matter(
    store: MediaStore, uploaded: Callable[..., int], tmp_path: Path, name: str
) -> None:
    sound = record(tmp_path / "plain.wav", silence(1)).read_bytes()
    file_id = uploaded(lambda path: path.write_bytes(sound), name)
    transcribed(store, file_id, told("one"))
    assert rows(file_id) == [(0.0, 0.5, "one", "Speaker 1")]


def test_a_recording_without_speech_is_complete_and_empty(store: MediaStore, uploaded: Callable[..., int]) -> None:
    file_id = uploaded(lambda path: record(path, silence(700)), "quiet.flac")
    shares = transcribed(store, file_id, ears())
    assert rows(file_id) == []
    assert file_status(file_id) is FileStatus.COMPLETED
    assert len(set(shares)) > 3  # somebody who waits sees it move
    with session_scope() as session:
        assert session.scalars(select(Speaker)).all() == []
        figures = session.scalars(select(Analytics)).one()
        assert (figures.speaker_stats, figures.keywords) == ({}, [])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def letter(path: Path) -> None:
    path.write_text("Dear all,\n" * 500)


def half(path: Path) -> None:
    cut(record(path, silence(20), pictures=True), 0.5)


@pytest.mark.parametrize(
    ("make", "name", "error"),
    [
        (nothing, "empty.mp3", FileEmpty),
        (letter, "letter.mp3", NotMedia),
        (half, "half.mp4", CutOff),
        (lambda path: record(path, silence(0)), "zero.wav", NothingInside),
        (lambda path: record(path, pictures=True), "mute.mp4", NoSound),
        (lambda _: None, "gone.mp3", FileMissing),
    ],
    ids=["empty", "text", "truncated", "zero duration", "no sound", "not in the store"],
)
def test_a_broken_file_says_why_and_leaves_what_there_was(
    store: MediaStore, uploaded: Callable[..., int], make: Callable[[Path], object], name: str, error: type[Unusable]
) -> None:
    file_id = uploaded(make, name)
    with pytest.raises(error):
        transcribed(store, file_id, told("one"))
    assert rows(file_id) == []
    assert file_status(file_id) is FileStatus.PROCESSING


def test_a_second_run_leaves_the_rows_of_one_and_the_same_speaker(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, silence(1)))
    transcribed(store, file_id, told("one", "two"))
    with session_scope() as session:
        session.scalars(select(Speaker)).one().display_name = "Ann"
    transcribed(store, file_id, told("three"))
    assert [text for _, _, text, _ in rows(file_id)] == ["three"]
    with session_scope() as session:
        assert session.scalars(select(Speaker.display_name)).all() == ["Ann"]


def test_what_the_file_does_not_say_leaves_what_an_older_instance_knew(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, silence(1)), title="Plans", device_make="Zoom")
    transcribed(store, file_id, told("one"))
    with session_scope() as session:
        file = session.get_one(MediaFile, file_id)
        assert (file.title, file.device_make, file.codec) == ("Plans", "Zoom", "pcm_s16le")


def test_an_engine_that_tells_voices_apart_gives_each_a_speaker(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, silence(1)))
    voices = Told(*(Segment(n, n + 1, "hm", "en", voice) for n, voice in enumerate("BAB")))
    for _ in range(2):
        transcribed(store, file_id, voices)
        assert [name for *_, name in rows(file_id)] == ["Speaker 1", "Speaker 2", "Speaker 1"]


def test_the_language_that_the_owner_names_is_asked_for_and_the_one_spoken_longest_kept(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, silence(1)), language="de")
    engine = Told(Segment(0, 1, "oui", "fr"), Segment(1, 9, "ja", "nl"), Segment(9, 12, "si", None))
    transcribed(store, file_id, engine)
    assert engine.languages == ["de"]
    with session_scope() as session:
        assert session.get_one(MediaFile, file_id).language == "nl"


def test_what_the_database_can_not_hold_is_left_out_of_the_text(
    store: MediaStore, uploaded: Callable[..., int]
) -> None:
    file_id = uploaded(lambda path: record(path, silence(1)))
    transcribed(store, file_id, told("a\0b"))
    assert [text for _, _, text, _ in rows(file_id)] == ["ab"]


def test_who_was_cancelled_stops_at_the_next_report(store: MediaStore, uploaded: Callable[..., int]) -> None:
    file_id = uploaded(lambda path: record(path, silence(700)), "long.flac")

    def cancelled(share: float) -> None:
        if share > pipeline.PROBED:
            raise work.LeaseLost

    with pytest.raises(work.LeaseLost):
        pipeline.transcribe(claimed(enqueue(file_id)), cancelled, store, told())
    assert rows(file_id) == []


def test_who_lost_the_lease_stores_nothing(store: MediaStore, uploaded: Callable[..., int]) -> None:
    claim = claimed(enqueue(uploaded(lambda path: record(path, silence(1)))))
    with session_scope() as session:
        work.give_back(session, claim, "another takes it")
    with pytest.raises(work.LeaseLost):
        pipeline.transcribe(claim, lambda _: None, store, told("one"))
    assert rows(claim.media_file_id) == []


def test_a_file_that_is_deleted_meanwhile_ends_it(store: MediaStore, uploaded: Callable[..., int]) -> None:
    claim = claimed(enqueue(uploaded(lambda path: record(path, silence(1)))))

    def delete(share: float) -> None:
        if share == pipeline.HEARD:
            with session_scope() as session:
                session.delete(session.get_one(MediaFile, claim.media_file_id))

    with pytest.raises((MediaFileMissing, work.LeaseLost)):
        pipeline.transcribe(claim, delete, store, told("one"))


def test_no_connection_is_held_while_the_engine_works(
    application: Engine, store: MediaStore, uploaded: Callable[..., int]
) -> None:
    held: list[int] = []

    class Watching(Told):
        def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
            held.append(application.pool.checkedout())  # type: ignore[attr-defined]
            return super().transcribe(windows, language)

    transcribed(store, uploaded(lambda path: record(path, silence(1))), Watching())
    assert held == [0]
