from __future__ import annotations

import pytest

from app.core.config import Settings
from app.transcription import load
from app.transcription.errors import EngineUnavailable
from app.transcription.whisper import Whisper


class Mute:
    """An engine that hears nothing."""


def make() -> Mute:
    return Mute()


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    load.engine.cache_clear()


def named(monkeypatch: pytest.MonkeyPatch, name: str) -> object:
    monkeypatch.setattr(load, "settings", Settings(TRANSCRIPTION_ENGINE=name))
    return load.engine()


def test_without_a_setting_it_is_whisper_and_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = named(monkeypatch, "faster-whisper")
    assert isinstance(first, Whisper)
    assert load.engine() is first


def test_any_function_may_make_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(named(monkeypatch, f"{__name__}:make")).__name__ == "Mute"


@pytest.mark.parametrize("name", ["nowhere.at.all:make", f"{__name__}:nothing", "json", ":make"])
def test_what_is_not_there_is_the_settings_fault(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(EngineUnavailable, match=f"TRANSCRIPTION_ENGINE={name}"):
        named(monkeypatch, name)
