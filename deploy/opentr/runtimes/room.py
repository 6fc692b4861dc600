"""A full disk, where the engine keeps its data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from opentr.errors.services import DiskFull

if TYPE_CHECKING:
    from opentr.containers import Engine


def is_full(said: str) -> bool:
    """Whether engine, Compose, a build or a service tell of a full disk; Postgres may do it by its hint alone."""
    return any(words in said.lower() for words in ("no space left on device", "check free disk space"))


def disk_full(what: str, engine: Engine) -> DiskFull:
    """The error, with how much room is left where the engine keeps its data."""
    folder = Path(engine.folder())
    return DiskFull(what, str(folder), shutil.disk_usage(folder).free if folder.exists() else None)
