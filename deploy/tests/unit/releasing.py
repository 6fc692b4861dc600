"""Releases that are written down, and a prod environment without containers, for tests of what deploys decide."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentr import settings
from opentr.actions.environment import Environment
from opentr.actions.releases import Release
from opentr.errors import ProcessFailed
from opentr.errors.services import ServiceNotRunning
from opentr.places import Places
from opentr.runtimes.base import APP, INFRA, ServiceState
from opentr.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

COMPOSE = """\
name: ${OPENTR_PROJECT}
x-labels: &labels
  a: b
services:
  postgres:
    image: x
    # a comment
  backup:
    image: y

networks:
  db: {}
volumes:
  media: {}
"""


class Engineless:
    """Prod's runtime without an engine: it has no images, and whoever needs one of its services fails."""

    name = "compose"
    defined = (*INFRA, *APP["prod"])
    places = Places()


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Prod, with a state of its own; no images are there, so nothing is tagged."""
    monkeypatch.setenv("OPENTR_STATE_DIR", str(folder))
    monkeypatch.setenv("OPENTR_ENV_FILE", "none")
    (folder / "state").mkdir()
    runtime: Any = Engineless()
    return Environment(settings.read("prod"), State(folder / "state", "id", "key", "opentr-test", "prod"), runtime)


def release(name: str, **changes: object) -> Release:
    made = Release(
        id=name,
        version="0.1.0",
        commit="a" * 40,
        dirty=False,
        images={"api": f"opentr-test/api:{name}-digest"},
        image_ids={"api": "sha256:1"},
        files={"docker-compose.yml": COMPOSE, "compose.env": "A=1\n"},
        head="0010",
        oldest_release="0.1.0",
        postgres_major=17,
        roles="SELECT 1;",
        made_at="2026-11-22T22:00:00+00:00",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


class Said:
    """A runtime whose one-offs say these lines and end with this code; SQL answers with `answer`."""

    def __init__(self, *lines: str, code: int = 0, answer: str = "") -> None:
        self.lines, self.code, self.answer = lines, code, answer
        self.at_work: tuple[str, ...] = ("postgres", "api")

    @contextmanager
    def follow_once(self, _service: str, argv: Sequence[str], **_: object) -> Iterator[Iterator[str]]:
        yield iter(self.lines)
        if self.code:
            raise ProcessFailed(" ".join(argv), self.code, "")

    def run_in(self, service: str, *_: object, **__: object) -> str:
        if not self.answer:
            raise ServiceNotRunning(service, "prod")
        return self.answer

    def services(self) -> list[ServiceState]:
        return [ServiceState(name, "running") for name in self.at_work]

    def drop_leftovers(self) -> None:
        self.answer = self.answer or ""


def running(environment: Environment, runtime: Said) -> Environment:
    faked: Any = runtime
    return replace(environment, runtime=faked)
