"""How settings are read: defaults, `.env`, `.env.dev` or `.env.prod`, the environment; the last one wins."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from opentr.errors.settings import SettingInvalid, SettingUnknown
from opentr.settings.files import Given, read_file
from opentr.settings.tree import CHECKOUT, KEYS, PREFIX, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

ENV_FILE = "OPENTR_ENV_FILE"
_BORROWED = {"SSL_CERT_FILE": "OPENTR_BUILD_CA_BUNDLE", "DOCKER_HOST": "OPENTR_ENGINE_HOST"}
"""Variables that others have made usual, and the settings whose defaults they are."""


def read(environment: str = "dev", variables: Mapping[str, str] = os.environ) -> Settings:
    """The settings of dev or prod; an empty value counts as unset.

    Raises SettingUnknown for a name that is no setting, SettingInvalid for a value that can't be used, and
    EnvFileUnreadable; each names the file and the line.
    """
    found = given(environment, variables)
    project = found["OPENTR_PROJECT"].value if "OPENTR_PROJECT" in found else f"opentr-{environment}"
    tree: dict[str, Any] = {"environment": environment, "project": project}
    for key, one in found.items():
        *component, field = KEYS[key]
        (tree.setdefault(component[0], {}) if component else tree)[field] = one.value
    tree["state_dir"] = _state_dir(tree, environment, project, variables)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _invalid(error.errors()[0], found) from error


def given(environment: str = "dev", variables: Mapping[str, str] = os.environ) -> dict[str, Given]:
    """What is set, by name, and where. Raises as `read`, but knows nothing of the values."""
    found: dict[str, Given] = {}
    for name, key in _BORROWED.items():
        found |= _set({key: Given(variables.get(name, ""), name)})
    for file in _files(environment, variables):
        lines = _set(read_file(file))
        _check(lines)
        _check_shared(lines, file)
        found |= lines
    own = _set({name: Given(value) for name, value in variables.items() if name.startswith(PREFIX)})
    _check(own)
    return found | own


def _set(lines: Mapping[str, Given]) -> dict[str, Given]:
    return {name: one for name, one in lines.items() if one.value.strip()}


def _files(environment: str, variables: Mapping[str, str]) -> list[Path]:
    chosen = variables.get(ENV_FILE, "")
    if chosen == "none":
        return []
    if not chosen:
        return [CHECKOUT / ".env", CHECKOUT / f".env.{environment}"]
    if not (file := Path(chosen)).is_absolute() or not file.exists():
        raise SettingInvalid(ENV_FILE, f"'{chosen}' is not the absolute path of a file that is there")
    return [file]


def _check(lines: Mapping[str, Given]) -> None:
    """Refuses names that are no setting, and values that no setting can have."""
    for name, one in lines.items():
        if name not in KEYS:
            raise SettingUnknown(name, next(iter(get_close_matches(name, KEYS, n=1)), None), one.place)
        if not one.value.isprintable():
            raise SettingInvalid(name, "it has characters that can't be printed", one.place)


def _check_shared(lines: Mapping[str, Given], file: Path) -> None:
    """Refuses in a file what can't stand there."""
    if one := lines.get(ENV_FILE):
        raise SettingInvalid(ENV_FILE, "a file can't name the file to be read; set it as a variable", one.place)
    if file.name == ".env" and (one := lines.get("OPENTR_PROJECT")):
        raise SettingInvalid(
            "OPENTR_PROJECT", "dev and prod would get the same name; write it into .env.dev or .env.prod", one.place
        )


def _state_dir(tree: Mapping[str, Any], environment: str, project: str, variables: Mapping[str, str]) -> Path:
    """The folder of this project's state (design §2)."""
    if "state_dir" in tree:
        return Path(tree["state_dir"]) / project
    if environment == "dev":
        return CHECKOUT / ".opentr"
    if os.geteuid() == 0:
        return Path("/var/lib/opentr") / project
    home = variables.get("XDG_STATE_HOME") or Path(variables.get("HOME") or Path.home()) / ".local/state"
    return Path(home) / "opentr" / project


def _invalid(detail: ErrorDetails, found: Mapping[str, Given]) -> SettingInvalid:
    path = tuple(part for part in detail["loc"] if isinstance(part, str))
    key = next(key for key, place in KEYS.items() if path[: len(place)] == place)
    return SettingInvalid(key, _reason(detail), found[key].place if key in found else None)


def _reason(detail: ErrorDetails) -> str:
    """Pydantic's words, with the value, and with limits as they are typed."""
    value, limits = detail["input"], detail.get("ctx", {})
    if detail["type"] == "greater_than_equal":
        return f"'{value}' should be {limits['ge']} or more"
    if detail["type"] == "less_than_equal":
        return f"'{value}' should be {limits['le']} or less"
    return detail["msg"].removeprefix("Value error, ").replace("Input should", f"'{value}' should")
