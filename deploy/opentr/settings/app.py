"""The application: its API, its workers, and what both share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from opentr.settings.units import Component, Duration, Port, Service, Size

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
    allowed_hosts: str = Field(
        "*", pattern=r"\S+( \S+)*", description="names that it is called by, with blanks in between: host, *.domain"
    )
    cors_origins: str = Field(
        "", pattern=r"\S*( \S+)*", description="pages that may call it from a browser, as https://host, or *"
    )
    token_minutes: int = Field(60, ge=1, description="how long a login lasts")


class Media(Component):
    """Where the recordings are: the volume `media`, or a bucket of an S3 store."""

    upload_limit: Size = Field(Size.parse("8g"), ge=Size.parse("1m"), description="size of a recording at most, as 8g")
    url: str = Field(
        "",
        pattern=r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/?#\s]+)*/?)?",
        description="s3://bucket or s3://bucket/prefix; empty: the volume. The access key's id and the key are written "
        "into secrets/media_s3_key and secrets/media_s3_secret",
    )
    s3_endpoint: str = Field(
        "", pattern=r"(https?://[^\s/]+/?)?", description="address of the S3 store, as https://host; empty: Amazon's"
    )
    s3_region: str = Field("", pattern=r"[a-z0-9-]*", description="region of the S3 store")


class Worker(Service):
    """The workers."""

    memory: Size = Field(Size.parse("4g"), ge=Size.parse("256m"), description="memory at most, as 512m or 2g")
    pids: int = Field(512, ge=64, description="processes and threads at most")
    processes: int = Field(1, ge=1, le=64, description="recordings that are worked on at once")
    model: str = Field(
        "tiny.en",
        pattern=r"[A-Za-z0-9._/-]+",
        description="Whisper model by its name, or a folder that the worker sees; the image has tiny.en, small and "
        "English alone, and others (small, large-v3) are downloaded once",
    )
    device: Literal["cpu", "cuda"] = Field("cpu", description="cuda: a GPU, which the Compose file has to give it too")
    compute_type: str = Field(
        "int8", pattern=r"[a-z0-9_]+", description="precision, as CTranslate2 names it: int8, float16 for a GPU"
    )
    longest: Duration = Field(
        Duration.parse("24h"), ge=Duration.parse("1m"), description="longest recording that is transcribed, as 24h"
    )
