"""The kinds of values that settings have: sizes, times, processors, ports, and what every service may use."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SIZE = re.compile(r"(\d+)([kmg]?)b?", re.ASCII | re.IGNORECASE)


class Size(int):
    """A number of bytes that prints in the largest unit that fits: 512m, 2g. Units are powers of 1024, as in Docker."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Size:
        """Read 512m, 2g or a number of bytes. Raises ValueError."""
        if not (match := _SIZE.fullmatch(str(value).strip())):
            raise ValueError(f"'{value}' is not a size; write it as 512m or 2g")
        return cls(int(match[1]) * _UNITS[match[2].lower()])

    def __str__(self) -> str:
        unit = next(unit for unit in ("g", "m", "k", "") if self % _UNITS[unit] == 0)
        return f"{self // _UNITS[unit]}{unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_plain_validator_function(cls.parse)


_SPANS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(\d+)([dhms])", re.ASCII | re.IGNORECASE)
_LONGEST = 3650 * _SPANS["d"]


class Duration(int):
    """A number of seconds that prints in the largest unit that fits: 7d, 90m; `none` is 0."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Duration:
        """Read 7d, 12h, 15m, 30s; 0 or none: never. Raises ValueError."""
        if isinstance(value, Duration):
            return value
        text = str(value).strip()
        if text.lower() in {"0", "none"}:
            return cls(0)
        if not (match := _DURATION.fullmatch(text)):
            raise ValueError(f"'{value}' is not a time; write it as 7d, 12h, 15m or none")
        if (seconds := int(match[1]) * _SPANS[match[2].lower()]) > _LONGEST:
            raise ValueError(f"'{value}' should be 3650d or less")
        return cls(seconds)

    def __str__(self) -> str:
        if not self:
            return "none"
        unit = next(unit for unit, span in _SPANS.items() if self % span == 0)
        return f"{self // _SPANS[unit]}{unit}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_plain_validator_function(cls.parse)


def cores() -> Decimal:
    """The processors of this machine."""
    return Decimal(os.cpu_count() or 1)


_LEAST_CPUS = Decimal("0.01")
"""What Docker takes."""


def _number(value: object) -> Decimal:
    """Digits and a point: Decimal itself would take more (NaN, 1e3)."""
    if not re.fullmatch(r"\d+(\.\d+)?", str(value).strip(), re.ASCII):
        raise ValueError(f"'{value}' is not a number of processors; write it as 2 or 0.5")
    if (number := Decimal(str(value).strip())) < _LEAST_CPUS:
        raise ValueError(f"'{value}' should be {_LEAST_CPUS} or more")
    return number


Cpus = Annotated[Decimal, BeforeValidator(_number)]
Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0: any free one."""


class Component(BaseModel):
    """The settings of one component."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Service(Component):
    """What every service has: its limits. Each names its own defaults."""

    memory: Size
    cpus: Cpus = Field(default_factory=cores, description="processors at most, as 0.5; default: all of this machine's")
    pids: int
