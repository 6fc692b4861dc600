"""The services of an environment by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from opentr.errors.services import PoolAbsent, ServiceUnknown
from opentr.runtimes.base import APP, INFRA

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentr.actions.environment import Environment

_SHORT = {"db": "postgres", "database": "postgres", "pool": "pgbouncer", "backend": "api", "celery": "worker"}


def known(environment: str) -> tuple[str, ...]:
    """All services that dev or prod may have, in the order of their start; a runtime may do without some."""
    return (*INFRA, *APP[environment])


def infra(environment: Environment) -> tuple[str, ...]:
    """The data services that the environment has, in the order of their start."""
    return tuple(name for name in environment.runtime.defined if name in INFRA)


def app(environment: Environment) -> tuple[str, ...]:
    """The app's services that the environment has, in the order of their start."""
    return tuple(name for name in environment.runtime.defined if name not in INFRA)


def profile(environment: Environment, name: str) -> tuple[str, ...]:
    """The services of the profile `infra`; of `app`, which needs those too, all."""
    return infra(environment) if name == "infra" else environment.runtime.defined


def named(environment: str, words: Iterable[str]) -> tuple[str, ...]:
    """The services that these words name, once each, in the order of their start. Raises ServiceUnknown."""
    names = known(environment)
    wanted = set(words)
    for word in sorted(wanted - set(names)):
        near = _SHORT.get(word) or next(iter(get_close_matches(word, [*names, *APP], n=1)), None)
        raise ServiceUnknown(word, near, names)
    return tuple(name for name in names if name in wanted)


def refuse_absent(environment: Environment, names: Iterable[str]) -> None:
    """Raises PoolAbsent if one of these isn't there in the environment's runtime, which only the pool may be."""
    there = environment.runtime.defined
    if set(names) - set(there):
        raise PoolAbsent(environment.words.title, there)
