"""Redis: its two databases are two generations, 0 the live one and 1 the one before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from opentr import credentials
from opentr.errors.services import BrokerRefused

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
if ARGV[2] == 'fresh' then redis.call('FLUSHDB', 'ASYNC') end
redis.call('SET', '{KEY}', ARGV[1])
redis.call('SWAPDB', {LIVE}, {OTHER})
return 'swapped'
"""

_PLACE = f"""
if redis.call('GET', '{KEY}') == ARGV[1] then return 'same' end
redis.call('SELECT', {OTHER})
if redis.call('GET', '{KEY}') ~= ARGV[1] then return 'unknown' end
redis.call('SWAPDB', {LIVE}, {OTHER})
return 'swapped'
"""


def swap(state: State, runtime: Runtime, token: str, *, fresh: bool) -> None:
    """Make the other database the live one, named `token` and emptied first if it is to be `fresh`, unless it is so.

    A machine that loses its power in the next second may lose this: messages of the other generation are then found,
    for tasks that the database doesn't have, and dropped (design §10). Raises BrokerRefused, ProcessFailed.
    """
    _run(state, runtime, f'EVAL "{" ".join(_SWAP.split())}" 0 {token} {"fresh" if fresh else "kept"}')


def place(state: State, runtime: Runtime, token: str) -> None:
    """Make that database live which this token names, if there is one; else messages stay as they are.

    Raises BrokerRefused, ProcessFailed.
    """
    _run(state, runtime, f'EVAL "{" ".join(_PLACE.split())}" 0 "{token}"')


def _run(state: State, runtime: Runtime, command: str) -> None:
    """Run a command by redis-cli, which gets the password on its standard input."""
    password = credentials.ensure(state)["redis_password"].reveal()
    said = runtime.run_in("redis", ["redis-cli"], stdin=f"AUTH app {password}\n{command}\n")
    if refusal := _REFUSAL.search(said):  # redis-cli ends with 0, whatever its commands answer
        raise BrokerRefused(refusal[0])
