"""Whether the environment's variables name a database: those of the app, which its own commands read in .venv."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = ("DATABASE_URL", "MIGRATOR_DATABASE_URL")


def names_database(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether DATABASE_URL or MIGRATOR_DATABASE_URL is set."""
    return any(variables.get(name, "").strip() for name in VARIABLES)
