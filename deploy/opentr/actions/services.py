"""The services of an environment by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from opentr.errors import ServiceUnknown
from opentr.runtimes.base import APP, INFRA

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHORT = {"db": "postgres", "database": "postgres", "pool": "pgbouncer", "backend": "api", "celery": "worker"}


def known(environment: str) -> tuple[str, ...]:
    """All services of dev or prod, in the order of their start."""
    return (*INFRA, *APP[environment])


def profile(environment: str, name: str) -> tuple[str, ...]:
    """The services of the profile `infra`; of `app`, which needs those too, all."""
    return INFRA if name == "infra" else known(environment)


def named(environment: str, words: Iterable[str]) -> tuple[str, ...]:
    """The services that these words name, once each, in the order of their start. Raises ServiceUnknown."""
    names = known(environment)
    wanted = set(words)
    for word in sorted(wanted - set(names)):
        near = _SHORT.get(word) or next(iter(get_close_matches(word, [*names, *APP], n=1)), None)
        raise ServiceUnknown(word, near, names)
    return tuple(name for name in names if name in wanted)
