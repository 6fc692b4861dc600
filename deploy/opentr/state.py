"""The tool's own folder: `.opentr/` in the checkout, 0700, because secrets will live in it."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from opentr.errors import StateUnwritable

if TYPE_CHECKING:
    from pathlib import Path

    from opentr.settings import Settings


def folder(settings: Settings) -> Path:
    """The state's folder. If it wasn't there it is made, for its owner alone. Raises StateUnwritable."""
    place = settings.state_dir
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnwritable(place, error.strerror or str(error)) from error
    return place


def record_traceback(settings: Settings, error: BaseException, command: str) -> Path:
    """Append the error's traceback to the log and return the log's path. Raises StateUnwritable."""
    log = folder(settings) / "opentr.log"
    try:
        with log.open("a", encoding="utf-8") as out:
            out.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {command}\n")
            out.writelines(traceback.format_exception(error))
    except OSError as cause:
        raise StateUnwritable(log, cause.strerror or str(cause)) from cause
    return log
