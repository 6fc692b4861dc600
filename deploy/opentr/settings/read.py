"""How settings are read."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from opentr.errors import SettingInvalid, SettingUnknown
from opentr.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "OPENTR_"


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives; an empty variable counts as unset.

    Raises SettingUnknown for a variable that begins with OPENTR_ and is no setting, SettingInvalid for a bad value.
    """
    known = [PREFIX + field.upper() for field in Settings.model_fields]
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    for name in given.keys() - set(known):
        raise SettingUnknown(name, next(iter(get_close_matches(name, known)), None), known)
    try:
        return Settings.model_validate({name.removeprefix(PREFIX).lower(): value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors()[0]
        raise SettingInvalid(
            PREFIX + str(first["loc"][0]).upper(), first["msg"].removeprefix("Value error, ")
        ) from error
