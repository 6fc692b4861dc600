"""From a recording's file to its transcript: probe, hear, store.

Nothing is held while the engine works: no connection, no transaction. What the recording becomes is stored in one
transaction at the end, with the task's own end in it, so a second run leaves the rows of one.
"""

from __future__ import annotations

import functools
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import func, select, update

from app.core.config import settings
from app.db.session_utils import session_scope
from app.models.media import MediaFile, Speaker, TranscriptSegment
from app.services import analytics, keywords, work
from app.services.probe import probe
from app.services.transcripts import MediaFileMissing, replace_segments
from app.storage.errors import KeyInvalid, MediaMissing
from app.storage.stores import media_store
from app.transcription import audio, load
from app.transcription.container import opened
from app.transcription.errors import FileMissing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

    from sqlalchemy.orm import Session

    from app.storage.media_store import MediaStore
    from app.transcription.engine import Engine, Segment, Window

    Settle = Callable[[Callable[[Session], None]], None]

PROBED = 0.05
HEARD = 0.95
"""Shares of the whole, as `report` tells them: the file's columns are stored; all is heard, and not stored."""

_log = structlog.get_logger(__name__)
_store = functools.cache(lambda: media_store(settings))


def transcribe_file(claim: work.Claim, report: Callable[[float], None], settle: Settle) -> None:
    """Does the whole of a claimed task, with the store and the engine of the settings.

    `report` gets the progress (0 to 1) and raises what ends the work. `settle` runs the last transaction, and may run
    it again: what was heard in hours isn't lost because the database is away for a moment. Raises `Unusable` for what
    is wrong with the file, `EngineUnavailable`, `StoreUnavailable`, `MediaFileMissing`, `LeaseLost`.
    """
    transcribe(claim, report, _store(), load.engine(), settle)


def at_once(transaction: Callable[[Session], None]) -> None:
    """Runs it once."""
    with session_scope() as session:
        transaction(session)


def transcribe(
    claim: work.Claim, report: Callable[[float], None], store: MediaStore, engine: Engine, settle: Settle = at_once
) -> None:
    """The same, with this store and this engine."""
    key, language = _named(claim.media_file_id)
    started = time.monotonic()
    with closing(_file(store, key)) as file, opened(file) as container:
        columns = probe(container)
        _keep(claim.media_file_id, columns)
        report(PROBED)
        heard = _Heard(columns["duration"], report)
        windows = heard.through(audio.windows(container, settings.TRANSCRIPTION_LONGEST_SECONDS))
        segments = list(heard.told(engine.transcribe(windows, language)))
    duration = heard.seconds if columns["resolution_width"] is None else None
    settle(lambda session: _store_transcript(session, claim, segments, duration))
    _log.info(
        "transcribed",
        recording_seconds=round(heard.seconds, 1),
        declared_seconds=columns["duration"],  # where it is more, the end is damaged or cut off
        seconds=round(time.monotonic() - started, 1),
        segments=len(segments),
    )


def _named(media_file_id: int) -> tuple[str, str | None]:
    """The file's key in the store, and its language if somebody has said it."""
    with session_scope() as session:
        named = select(MediaFile.storage_path, MediaFile.language).where(MediaFile.id == media_file_id)
        row = session.execute(named).one_or_none()
    if row is None:
        raise MediaFileMissing(media_file_id)
    return row.storage_path, row.language


def _file(store: MediaStore, key: str) -> BinaryIO:
    try:
        return store.open(key)
    except (KeyInvalid, MediaMissing) as error:
        raise FileMissing from error


def _keep(media_file_id: int, columns: dict[str, Any]) -> None:
    """What the file doesn't say leaves what is there: rows of older instances know it from elsewhere."""
    columns = {name: value for name, value in columns.items() if value is not None}
    with session_scope() as session:
        session.execute(update(MediaFile).where(MediaFile.id == media_file_id).values(columns))


class _Heard:
    """How far into the recording the engine is, told as it comes."""

    def __init__(self, duration: float | None, report: Callable[[float], None]) -> None:
        self.seconds = 0.0
        self._duration = duration
        self._report = report

    def through(self, windows: Iterator[Window]) -> Iterator[Window]:
        """The windows; where one begins, all before is heard."""
        for window in windows:
            self._tell(window.start)
            self.seconds = window.end
            yield window

    def told(self, segments: Iterator[Segment]) -> Iterator[Segment]:
        """The segments."""
        for segment in segments:
            self._tell(segment.end)
            yield segment
        self._report(HEARD)

    def _tell(self, second: float) -> None:
        share = min(1.0, second / self._duration) if self._duration else 0.0
        self._report(PROBED + share * (HEARD - PROBED))


def _store_transcript(session: Session, claim: work.Claim, segments: list[Segment], duration: float | None) -> None:
    """All that was heard, and the end of the task. `duration` of sound that was decoded is truer than the header's."""
    file = session.get(MediaFile, claim.media_file_id, with_for_update={"key_share": True})
    if file is None:
        raise MediaFileMissing(claim.media_file_id)
    speakers = _speakers(session, file, segments)
    rows = (_row(segment, speakers[segment.speaker]) for segment in segments)
    replace_segments(session, file.id, rows)
    file.language = _language(segments) or file.language
    file.duration = duration or file.duration
    figures = analytics.refresh(session, file.id)
    figures.keywords = keywords.of_texts((segment.text for segment in segments), file.language)
    work.finish(session, claim)


def _row(segment: Segment, speaker_id: int) -> dict[str, Any]:
    text = segment.text.replace("\0", "")
    return {"speaker_id": speaker_id, "start_time": segment.start, "end_time": segment.end, "text": text}


def _language(segments: list[Segment]) -> str | None:
    """The one that was spoken longest."""
    seconds: dict[str, float] = {}
    for segment in segments:
        if segment.language:
            seconds[segment.language] = seconds.get(segment.language, 0.0) + segment.end - segment.start
    return max(seconds, key=seconds.__getitem__, default=None)


def _speakers(session: Session, file: MediaFile, segments: Iterable[Segment]) -> dict[str | None, int]:
    """A speaker for each of the engine's, in the order in which they speak.

    Those that the file has already come first, so that a second run keeps the names that its owner gave.
    """
    labels = list(dict.fromkeys(segment.speaker for segment in segments))
    known = list(session.scalars(_speakers_of(file.id)))
    for number in range(len(known) + 1, len(labels) + 1):
        speaker = Speaker(user_id=file.user_id, name=f"Speaker {number}")
        session.add(speaker)
        session.flush()
        known.append(speaker.id)
    return dict(zip(labels, known, strict=False))


def _speakers_of(media_file_id: int) -> Any:  # noqa: ANN401 - a Select of what mypy can't name
    said = (TranscriptSegment.media_file_id == media_file_id, TranscriptSegment.speaker_id.is_not(None))
    first = func.min(TranscriptSegment.start_time)
    speaker = TranscriptSegment.speaker_id
    return select(speaker).where(*said).group_by(speaker).order_by(first, speaker)
