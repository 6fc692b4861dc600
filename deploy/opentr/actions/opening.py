"""Opening an environment for a command that changes it: what an earlier one left half-done is ended first."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentr.actions import environment as environments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.actions.environment import Environment


@contextmanager
def opened(name: str, *, command: str, changes: bool, runtime: str | None = None) -> Iterator[Environment]:
    """As `environment.opened`; with `changes`, a deploy or a restore that was cut short is finished or reverted first.

    Raises as that one, and MigrationInProgress, ... where an operator must act before.
    """
    with environments.opened(name, command=command, changes=changes, runtime=runtime) as environment:
        if changes:
            from opentr.actions import recovery  # noqa: PLC0415 - `status` and its like don't wait for it

            environment.runtime.await_orphans()
            recovery.finish(environment)
        yield environment
