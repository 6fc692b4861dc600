"""Redis: its two databases are two generations, 0 the live one and 1 the one before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentr import credentials
from opentr.errors import BrokerRefused

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime
    from opentr.state import State

LIVE, OTHER = 0, 1
KEY = "opentr:generation"
_REFUSAL = re.compile(r"^[A-Z]{3,} .+$", re.MULTILINE)
# Run twice it swaps once. All of it happens in one instant for every client, whatever database each has selected.
_SWAP = f"""
if redis.call('GET', '{KEY}') == ARGV[1] then return 'swapped before' end
redis.call('SELECT', {OTHER})
if redis.call('GET', '{KEY}') ~= ARGV[1] then return redis.error_reply('ERR there is no generation ' .. ARGV[1]) end
redis.call('SWAPDB', {LIVE}, {OTHER})
return 'swapped'
"""


def prepare(state: State, runtime: Runtime, token: str, *, fresh: bool) -> None:
    """Name the other database `token`, emptied if it is to be `fresh`."""
    _run(state, runtime, f"SELECT {OTHER}", *(["FLUSHDB"] if fresh else []), f"SET {KEY} {token}")


def swap(state: State, runtime: Runtime, token: str) -> None:
    """Make the database named `token` the live one, unless it is.

    A machine that loses its power in the next second may lose this: messages of the other generation are then found,
    for tasks that the database doesn't have, and dropped (design §10).
    """
    script = " ".join(_SWAP.split())
    _run(state, runtime, f'EVAL "{script}" 0 {token}')


def _run(state: State, runtime: Runtime, *commands: str) -> None:
    """Run commands by redis-cli, which gets the password on its standard input. Raises BrokerRefused, ProcessFailed."""
    password = credentials.ensure(state)["redis_password"].reveal()
    said = runtime.run_in("redis", ["redis-cli"], stdin="\n".join([f"AUTH app {password}", *commands, ""]))
    if refusal := _REFUSAL.search(said):  # redis-cli ends with 0, whatever its commands answer
        raise BrokerRefused(refusal[0])
