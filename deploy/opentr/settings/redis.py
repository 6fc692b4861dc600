"""Redis."""

from __future__ import annotations

from pydantic import Field

from opentr.settings.units import Port, Service, Size


class Redis(Service):
    """The broker between API and workers."""

    memory: Size = Field(Size.parse("512m"), ge=Size.parse("64m"), description="memory at most, as 512m or 2g")
    pids: int = Field(64, ge=16, description="processes at most")
    port: Port = Field(16379, description="on 127.0.0.1, in dev alone; 0: any free one")
