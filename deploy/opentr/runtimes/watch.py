"""Whether services come up. No clock decides: what starts may take as long as it needs, what has failed is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from opentr.containers import Container

LOOP = 3
"""A container that has been restarted so often since we look doesn't come up any more by itself."""
CHECKS = 2
"""One check may have been at work already when what it needs came up; the second began afterwards."""
DEPENDS_LABEL = "com.docker.compose.depends_on"


class Watch:
    """Judges containers by what has happened to them since it was made; how they were before is no fault of theirs."""

    def __init__(self, before: Iterable[Container]) -> None:
        self._before: Mapping[str, Container] = {each.id: each for each in before}
        self._settled: Mapping[str, int] | None = None

    def settle(self, now: Iterable[Container]) -> None:
        """All has been started: from here on what was there before, and didn't work, is judged as well.

        Nothing at all means that starting has failed: what isn't up now is why.
        """
        self._settled = {each.id: each.failures for each in now}

    def failure(self, container: Container) -> str | None:
        """What went wrong with it, as words that follow its name; None if nothing did, or not yet."""
        before = self._before.get(container.id)
        if before and before.started != container.started and container.restarts == 0:
            before = None  # started anew: its counts began again
        if container.restarts - (before.restarts if before else 0) >= LOOP:
            return f"ends again and again (exit code {container.exit_code})"
        judged = before is None or self._settled is not None
        match container.state:
            case "exited" | "dead" if judged:
                return f"has ended (exit code {container.exit_code})"
            case "restarting" if self._settled == {}:
                return f"ends as soon as it is started (exit code {container.exit_code})"
            case "created" | "paused" if self._settled is not None:
                return f"does not run: it is {container.state}"
            case "running" if container.health == "unhealthy" and (before is None or self._failed_again(container)):
                return "runs, but its health check fails"
            case _:
                return None

    def _failed_again(self, container: Container) -> bool:
        return self._settled is not None and container.failures >= self._settled.get(container.id, 0) + CHECKS


def ready(container: Container) -> bool:
    """Whether it does its work; without a health check, whether it runs."""
    return container.state == "running" and container.health in {"healthy", None}


def with_needs(services: Sequence[str], containers: Sequence[Container]) -> set[str]:
    """These services, and those that they depend on, as Compose has noted it: `postgres:service_healthy:false,...`."""
    needs = {each.service: _needs(each.labels.get(DEPENDS_LABEL, "")) for each in containers}
    found: set[str] = set()
    left = list(services)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left.extend(needs.get(name, ()))
    return found


def _needs(label: str) -> list[str]:
    return [each.split(":")[0] for each in label.split(",") if each]
