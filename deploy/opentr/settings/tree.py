"""What can be set, with its default: a component a file, and how settings are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from opentr.settings.app import Admin, Api, App, Media, Worker
from opentr.settings.backup import Backup
from opentr.settings.engine import Build, Engine
from opentr.settings.pgbouncer import Pgbouncer
from opentr.settings.postgres import Postgres
from opentr.settings.proxy import Proxy
from opentr.settings.redis import Redis
from opentr.settings.units import Component

CHECKOUT = Path(__file__).resolve().parents[3]
PREFIX = "OPENTR_"
_PROJECT = re.compile(r"[a-z0-9]+([-_][a-z0-9]+)*")


class Settings(Component):
    """The root of the tree."""

    environment: Literal["dev", "prod"] = "dev"
    project: str = Field(
        "opentr-dev", max_length=40, description="name of containers and volumes; default: opentr-dev or opentr-prod"
    )
    state_dir: Path = Field(
        CHECKOUT / ".opentr",
        description="folder in which each project has a folder of its own for secrets, logs and journal; default: "
        ".opentr in the checkout for dev; for prod /var/lib/opentr, or ~/.local/state/opentr where you are not root",
    )
    env_file: str = Field(
        "", description="reads this file only, instead of .env and .env.dev or .env.prod; none: no file"
    )

    app: App = App()
    admin: Admin = Admin()
    postgres: Postgres = Postgres()
    pgbouncer: Pgbouncer = Pgbouncer()
    redis: Redis = Redis()
    api: Api = Api()
    media: Media = Media()
    worker: Worker = Worker()
    proxy: Proxy = Proxy()
    backup: Backup = Backup()
    engine: Engine = Engine()
    build: Build = Build()

    @field_validator("project")
    @classmethod
    def _names_containers(cls, name: str) -> str:
        """A name that is allowed in Compose projects and in names of images."""
        if not _PROJECT.fullmatch(name):
            raise ValueError(f"'{name}' has other characters than a-z, 0-9 and single - or _ between them")
        return name

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, place: Path) -> Path:
        """The same folder from wherever the tool is called."""
        if not place.is_absolute():
            raise ValueError(f"{place} is not an absolute path")
        return place


def _keys() -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {}
    for name, field in Settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Component):
            keys |= {f"{PREFIX}{name}_{inner}".upper(): (name, inner) for inner in kind.model_fields}
        elif name != "environment":
            keys[f"{PREFIX}{name}".upper()] = (name,)
    return keys


KEYS = _keys()
"""What each setting is called in `.env` files and in the environment, and its path in the tree."""
