"""A plugin of pytest (pyproject.toml loads it): a run's last words are what it has left out, and how to run that."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

DOCKER = "that need a Docker engine; start one, or scripts/docker_engine.sh --install as root, then make test"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """Comes after pytest's own last line. A process that runs tests for another one has no terminal."""
    yield
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        for line in told(terminal.stats.get("skipped", ())):
            terminal.write_line(line, yellow=True)


def told(skipped: Iterable[pytest.TestReport]) -> Iterator[str]:
    """A line for each reason, that of the most tests first."""
    for reason, tests in Counter(map(_reason, skipped)).most_common():
        yield f"left out: {tests} test{'s' if tests > 1 else ''} {reason}"


def _reason(report: pytest.TestReport) -> str:
    # of pytest: the file, the line, "Skipped: " and what pytest.skip was given
    said = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: ")
    if re.search(r"\b(docker|compose)\b", said, re.IGNORECASE):
        return DOCKER
    return f"because: {said.removeprefix('left out: ')}"
