"""A full disk, where the engine keeps its data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from opentr.errors import DiskFull

if TYPE_CHECKING:
    from opentr.containers import Engine

FULL = "no space left on device"
"""What engine, Compose and builds say of it."""


def disk_full(what: str, engine: Engine) -> DiskFull:
    """The error, with how much room is left where the engine keeps its data."""
    folder = Path(engine.folder())
    return DiskFull(what, str(folder), shutil.disk_usage(folder).free if folder.exists() else None)
