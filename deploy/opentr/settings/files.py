"""`.env` files: NAME=value lines, each remembered with its place. Values are taken as they stand, `$` too."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

from opentr.errors.settings import EnvFileUnreadable

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Given:
    """A value that somebody has set, and where."""

    value: str
    place: str | None = None
    """`.env, line 7`; None: a variable of the environment"""


def read_file(file: Path) -> dict[str, Given]:
    """The lines of one file; none if there is no such file. Raises EnvFileUnreadable."""
    found: dict[str, Given] = {}
    for binding in parse_stream(io.StringIO(_text(file))):
        # The parser counts from the blank lines before.
        place = f"{file.name}, line {binding.original.line + _blank_lines_before(binding.original.string)}"
        if binding.error or (binding.key and binding.value is None):
            raise EnvFileUnreadable(place, "this is not NAME=value, and no comment")
        if binding.key is None:
            continue
        if binding.key in found:
            raise EnvFileUnreadable(place, f"{binding.key} is set a second time, first in {found[binding.key].place}")
        found[binding.key] = Given(str(binding.value), place)
    return found


def _blank_lines_before(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n") if text.strip() else 0


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise EnvFileUnreadable(str(file), f"it can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise EnvFileUnreadable(f"{file.name}, line {line}", "this is not UTF-8 text") from error
