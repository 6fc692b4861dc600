"""A recording from its file to its stored transcript: real-time factor, our share of the time, and memory."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.core.config import Settings
from app.db import base
from app.db.session_utils import session_scope
from app.services import pipeline
from app.storage.stores import media_store
from app.transcription import whisper
from bench.places import engine_on
from tests.recordings import add_file, add_user
from tests.servers import HEAD
from tests.speech import RATE, TEXT, record, silence, spoken, word_error_rate
from tests.working import claimed, enqueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.transcription.engine import Engine, Segment, Window
    from bench.figures import Bench

RECORDINGS = ((5, "mp3"), (5, "mp4"), (30, "mp3"))
"""Minutes, and the format."""


class Timed:
    """An engine that is asked how long it worked; what it waits for its windows is our time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.seconds = 0.0
        self.texts: list[str] = []

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """The engine's segments."""
        segments = self._engine.transcribe(self._waited_for(windows), language)
        while True:
            started = time.perf_counter()
            segment = next(segments, None)
            self.seconds += time.perf_counter() - started
            if segment is None:
                return
            self.texts.append(segment.text)
            yield segment

    def _waited_for(self, windows: Iterator[Window]) -> Iterator[Window]:
        while True:
            started = time.perf_counter()
            window = next(windows, None)
            self.seconds -= time.perf_counter() - started
            if window is None:
                return
            yield window


def measure(bench: Bench) -> None:
    """Speech with pauses, as sound and as video, with the model of the image."""
    ears = whisper.load(Settings(WHISPER_THREADS=os.cpu_count() or 1))
    with bench.server.clone(HEAD) as url, engine_on(url) as database, tempfile.TemporaryDirectory() as folder:
        base.SessionLocal.configure(bind=database)
        rows = [_measured(Path(folder), ears, minutes, ending) for minutes, ending in RECORDINGS]
        base.SessionLocal.configure(bind=base.engine)
    title = f"Transcribing with tiny.en on {os.cpu_count()} processors (goal: our share under 0.05)"
    columns = ("recording", "seconds", "real-time factor", "our share", "word error rate", "peak memory MB")
    bench.add(title, columns, rows)


def _measured(folder: Path, ears: Engine, minutes: int, ending: str) -> tuple[object, ...]:
    once = np.concatenate([spoken(), silence(1)])
    times = minutes * 60 * RATE // len(once)
    path = record(folder / f"talk.{ending}", np.tile(once, times), pictures=ending == "mp4")
    with session_scope() as session:
        file_id = add_file(session, add_user(session), storage_path=path.name).id
    engine, claim = Timed(ears), claimed(enqueue(file_id))
    started = time.perf_counter()
    pipeline.transcribe(claim, lambda _: None, media_store(Settings(MEDIA_ROOT=folder)), engine)
    seconds = time.perf_counter() - started
    wrong = word_error_rate(" ".join(engine.texts), " ".join([TEXT] * times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    length = times * len(once) / RATE
    return f"{minutes} min, {ending}", seconds, seconds / length, 1 - engine.seconds / seconds, wrong, peak
