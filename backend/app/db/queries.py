"""The SQL that stands in files: `database/queries/<name>.sql`, and the two scripts that make a database."""

from __future__ import annotations

from functools import cache
from pathlib import Path

DATABASE = Path(__file__).resolve().parents[3] / "database"
INIT_DB = DATABASE / "init_db.sql"
ROLES = DATABASE / "roles.sql"


@cache
def query(name: str) -> str:
    """The text of `database/queries/<name>.sql`, one statement."""
    return (DATABASE / "queries" / f"{name}.sql").read_text()
