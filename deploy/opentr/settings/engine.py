"""The container engine, and how images are built."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads it

from pydantic import Field, field_validator

from opentr.settings.units import Component


class Engine(Component):
    """The container engine."""

    host: str | None = Field(
        None,
        description="address of the Docker engine, as unix:///run/docker.sock; default: DOCKER_HOST, else Docker's own",
    )


class Build(Component):
    """How images are built."""

    base_image: str = Field(
        "debian:trixie-slim", description="image that ours begin with; made here where no registry answers"
    )
    ca_bundle: Path | None = Field(
        None, description="further certificates that builds trust (a file); default: SSL_CERT_FILE, else none"
    )

    @field_validator("ca_bundle")
    @classmethod
    def _is_there(cls, file: Path | None) -> Path | None:
        if file and not (file.is_absolute() and file.is_file()):
            raise ValueError(f"{file} is not the absolute path of a file")
        return file
