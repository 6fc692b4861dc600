"""Environments of either runtime in which nothing runs: what would be done there, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr import settings
from opentr.actions.environment import Environment
from opentr.containers import Engine
from opentr.runtimes.compose import Compose
from opentr.runtimes.embedded import Embedded
from opentr.state import State

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def in_containers(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "dev") -> Environment:
    """On an engine that nobody asks anything."""
    chosen, state = _opened(folder, monkeypatch, name)
    return Environment(chosen, state, Compose(chosen, state, Engine("unix:///nowhere"), "an engine that isn't there"))


def as_processes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """As local processes, none of which was started."""
    chosen, state = _opened(folder, monkeypatch, "dev")
    return Environment(chosen, state, Embedded(chosen, state, "there is no engine"))


def _opened(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[settings.Settings, State]:
    monkeypatch.setenv("OPENTR_STATE_DIR", str(folder))
    monkeypatch.setenv("OPENTR_ENV_FILE", "none")
    monkeypatch.setenv("OPENTR_PROJECT", "opentr-test")
    place = folder / "state"
    place.mkdir(exist_ok=True)
    return settings.read(name), State(place, "0123456789abcdef", "key", "opentr-test", name)
