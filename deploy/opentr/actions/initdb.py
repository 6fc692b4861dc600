"""`init-db`: the schema where the database is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.actions import database
from opentr.actions.steps import Step

if TYPE_CHECKING:
    from opentr.actions.environment import Environment


def steps(environment: Environment) -> list[Step]:
    """Make the schema and the administrator. Raises DatabaseNotEmpty, when it is run, if there are tables."""
    source: database.Source = "sql" if environment.name == "dev" else "migrations"
    how = "psql -f init_db.sql" if source == "sql" else "python -m app.db.migrate"

    def make() -> None:
        database.make_database(environment, source)

    return [Step(f"make the schema from {database.TITLES[source]}", how, make)]
