"""The engine that the settings name, loaded once in each process."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING

from app.core.config import settings
from app.transcription.errors import EngineUnavailable

if TYPE_CHECKING:
    from app.transcription.engine import Engine

WHISPER = "faster-whisper"


@functools.cache
def engine() -> Engine:
    """Loads it when first asked for; takes some seconds with large models. Raises `EngineUnavailable`.

    TRANSCRIPTION_ENGINE is `faster-whisper`, or `module:function`: a function without arguments that gives an engine.
    """
    name = settings.TRANSCRIPTION_ENGINE
    if name == WHISPER:
        from app.transcription import whisper  # noqa: PLC0415 - half a second that other engines don't need

        return whisper.load(settings)
    module, _, function = name.partition(":")
    try:
        made: Engine = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise EngineUnavailable("TRANSCRIPTION_ENGINE", name, str(error)) from error
    return made
