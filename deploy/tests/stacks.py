"""Stacks for tests: each a project of its own, on free ports, with its state in a temporary folder.

Nothing of anybody else is touched: what is removed in the end is what carries the project's random name.
"""

from __future__ import annotations

import gc
import json
import os
import secrets
import subprocess
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from opentr.containers import Container, Engine
from opentr.errors.engine import EngineMissing

CHECKOUT = Path(__file__).resolve().parents[2]
PORTS = ("API", "POSTGRES", "PGBOUNCER", "REDIS", "PROXY")
TIMEOUT_SECONDS = 900

Said = subprocess.CompletedProcess[str]


def reachable_engine() -> Engine:
    """The engine; skips the test where none answers, except in CI, where nothing may be left out."""
    engine = Engine(os.environ.get("DOCKER_HOST"))
    try:
        engine.version()
    except EngineMissing as error:
        if os.environ.get("CI") == "true":
            raise
        missing = f"{error.what}; {error.hint}"
    else:
        return engine
    del engine
    with warnings.catch_warnings():  # Docker's SDK leaves the socket open on which nobody answered
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    pytest.skip(missing)


def mark(items: list[pytest.Item], folder: Path) -> None:
    """Give the tests below the folder time for images and containers."""
    for item in items:
        if folder in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def variables(folder: Path, project: str | None = None) -> dict[str, str]:
    """The settings of a project of its own, as variables: its state in the folder, free ports, nobody's `.env`."""
    own = {"OPENTR_PROJECT": project or new_project(), "OPENTR_STATE_DIR": str(folder), "OPENTR_ENV_FILE": "none"}
    return own | {f"OPENTR_{name}_PORT": "0" for name in PORTS}


def new_project() -> str:
    """A name that nobody has."""
    return f"opentr-test-{secrets.token_hex(4)}"


@dataclass
class Stack:
    """A project of a test. Called with words it runs `./opentr.sh` with them."""

    engine: Engine
    folder: Path
    checkout: Path = CHECKOUT
    project: str = field(default_factory=new_project)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The state's folder."""
        return self.folder / self.project

    @property
    def variables(self) -> dict[str, str]:
        """The environment that the tool is started with: ours without a user's settings, with this stack's."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENTR_", "COMPOSE_"))}
        return clean | self.ours

    @property
    def ours(self) -> dict[str, str]:
        """The settings of this stack as variables."""
        return variables(self.folder, self.project) | self.settings

    @property
    def command(self) -> str:
        """The tool's path."""
        return str(self.checkout / "opentr.sh")

    def __call__(self, *words: str, stdin: str = "", **settings: str) -> Said:
        environment = self.variables | settings
        command = [self.command, *words]
        return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)

    def done(self, *words: str, **settings: str) -> str:
        """Runs `./opentr.sh`, which must succeed; returns its stdout."""
        said = self(*words, **settings)
        assert said.returncode == 0, f"./opentr.sh {' '.join(words)}: {said.returncode}\n{said.stdout}\n{said.stderr}"
        return said.stdout

    def containers(self) -> dict[str, Container]:
        """The containers of its services, by service."""
        return {each.service: each for each in self.engine.containers(self.project) if not each.oneoff}

    def address(self, service: str, port: int) -> str:
        """host:port of a service's port, as reached from here."""
        return self.containers()[service].ports[port]

    def remove(self) -> None:
        """Removes all that carries the project's name, whatever state it is in."""
        for container in self.engine.containers(self.project):
            self.engine.remove_container(container.id, grace=0)
        for network in self.engine.networks(self.project):
            self.engine.remove_network(network.name)
        for volume in self.engine.volumes(self.project):
            self.engine.remove_volume(volume.name)
        for reference in self._references():
            self.engine.remove_image(reference)

    def _references(self) -> list[str]:
        record = self.state / "images.json"
        found: list[str] = json.loads(record.read_text())["references"] if record.exists() else []
        return found
