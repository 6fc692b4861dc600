"""What goes wrong with settings and secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from pathlib import Path


class SettingUnknown(OpentrError):
    """A setting that doesn't exist; `place` is the file and the line, None for a variable of the environment."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, nearest: str | None, place: str | None = None) -> None:
        guess = f"; did you mean {nearest}?" if nearest else ""
        at = f"{place}: " if place else ""
        super().__init__(f"{at}no such setting {name}{guess}", "correct or unset it; .env.example lists what there is")
        self.name = name
        self.nearest = nearest


class SettingInvalid(OpentrError):
    """A setting whose value can't be used; `place` as in SettingUnknown."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, reason: str, place: str | None = None) -> None:
        at = f"{place}: " if place else ""
        super().__init__(f"{at}the setting {name} can't be used: {reason}", f"correct or unset {name}")
        self.name = name


class EnvFileUnreadable(OpentrError):
    """A `.env` file that isn't one; `place` is the file, and the line if it is known."""

    exit_code = ExitCode.USAGE

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}", "correct the file; .env.example shows how it is written")
        self.place = place


class CredentialInvalid(OpentrError):
    """A secret in a file that can't be used. The words never hold the secret."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}", "correct it, or remove the file: a new one is made, and applied")
        self.file = file
