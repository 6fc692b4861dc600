from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from opentr import settings
from opentr.errors import ExitCode, SettingInvalid, SettingUnknown


def test_the_state_is_in_the_checkout_if_nobody_says_otherwise():
    assert settings.read({}).state_dir == settings.CHECKOUT / ".opentr"


def test_the_environment_gives_a_setting():
    assert settings.read({"OPENTR_STATE_DIR": "/somewhere", "HOME": "/root"}).state_dir == Path("/somewhere")


def test_an_unknown_setting_is_refused_with_the_nearest_name():
    with pytest.raises(SettingUnknown) as caught:
        settings.read({"OPENTR_STAT_DIR": "/somewhere"})
    assert caught.value.what == "no such setting OPENTR_STAT_DIR; did you mean OPENTR_STATE_DIR?"
    assert "OPENTR_STATE_DIR" in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_unknown_setting_that_is_like_nothing_gets_no_guess():
    with pytest.raises(SettingUnknown) as caught:
        settings.read({"OPENTR_ZZZZZZZZZZZZZZ": "1"})
    assert caught.value.what == "no such setting OPENTR_ZZZZZZZZZZZZZZ"


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        settings.read({}).state_dir = Path("/elsewhere")  # type: ignore[misc]


def test_an_empty_variable_counts_as_unset():
    assert settings.read({"OPENTR_STATE_DIR": ""}) == settings.read({})


def test_a_relative_state_folder_is_refused_because_it_would_move_with_the_caller():
    with pytest.raises(SettingInvalid) as caught:
        settings.read({"OPENTR_STATE_DIR": "here"})
    assert caught.value.what == "the setting OPENTR_STATE_DIR can't be used: here is not an absolute path"
