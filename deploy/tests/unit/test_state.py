from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from opentr import state
from opentr.errors import ExitCode, StateUnwritable
from opentr.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def mode(place: Path) -> int:
    return stat.S_IMODE(place.stat().st_mode)


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path):
    place = tmp_path / "not yet" / "there"
    assert state.folder(Settings(state_dir=place)) == place
    assert mode(place) == 0o700


def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path):
    tmp_path.chmod(0o755)
    state.folder(Settings(state_dir=tmp_path))
    assert mode(tmp_path) == 0o755


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(StateUnwritable) as caught:
        state.folder(Settings(state_dir=place))
    assert str(place) in caught.value.what
    assert caught.value.exit_code is ExitCode.BLOCKED


def test_tracebacks_are_appended(tmp_path: Path):
    there = Settings(state_dir=tmp_path)
    state.record_traceback(there, ValueError("the first"), "./opentr.sh one")
    log = state.record_traceback(there, ValueError("the second"), "./opentr.sh two")
    text = log.read_text()
    assert (
        text.index("./opentr.sh one")
        < text.index("the first")
        < text.index("./opentr.sh two")
        < text.index("the second")
    )
