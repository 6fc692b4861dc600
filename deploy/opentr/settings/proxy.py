"""HAProxy."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated

from pydantic import BeforeValidator, Field

from opentr.settings.units import Port, Service, Size


def _address(value: object) -> IPv4Address | IPv6Address:
    try:
        return ip_address(str(value))
    except ValueError:
        raise ValueError(f"'{value}' is not an address; write it as 127.0.0.1 or 0.0.0.0") from None


Address = Annotated[IPv4Address | IPv6Address, BeforeValidator(_address)]


class Proxy(Service):
    """The proxy in front of the API, in prod alone, and the only service that other machines reach."""

    memory: Size = Field(Size.parse("256m"), ge=Size.parse("64m"), description="memory at most, as 512m or 2g")
    pids: int = Field(64, ge=16, description="processes and threads at most")
    bind: Address = Field(
        IPv4Address("127.0.0.1"), description="address that prod is reached at; 0.0.0.0: from everywhere"
    )
    port: Port = Field(80, description="port that prod is reached at; 0: any free one")
