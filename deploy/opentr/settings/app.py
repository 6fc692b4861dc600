"""The application: its API, its workers, and what both share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from opentr.settings.units import Component, Port, Service, Size

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(lambda value: str(value).upper())
]


class App(Component):
    """What API and workers share."""

    log_level: LogLevel = Field("INFO", description="least level logged: DEBUG, INFO, WARNING, ERROR or CRITICAL")


class Admin(Component):
    """The first user."""

    email: str = Field(
        "admin@example.com", max_length=255, description="email of the administrator who is made with the database"
    )

    @field_validator("email")
    @classmethod
    def _has_two_parts(cls, address: str) -> str:
        """What the app will accept in any case; it looks closer."""
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
            raise ValueError(f"'{address}' is not an email address")
        return address


class Api(Service):
    """The API."""

    memory: Size = Field(Size.parse("1g"), ge=Size.parse("128m"), description="memory at most, as 512m or 2g")
    pids: int = Field(512, ge=64, description="processes and threads at most")
    port: Port = Field(8000, description="on 127.0.0.1, in dev alone; 0: any free one")
    processes: int = Field(2, ge=1, le=64, description="processes that answer requests; dev has one, which reloads")


class Worker(Service):
    """The workers."""

    memory: Size = Field(Size.parse("4g"), ge=Size.parse("256m"), description="memory at most, as 512m or 2g")
    pids: int = Field(512, ge=64, description="processes and threads at most")
    processes: int = Field(1, ge=1, le=64, description="recordings that are worked on at once")
