"""What the proxy takes for an API that it leads to."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.watching import wait_until
from tests.e2e.writers import fault, page
from tests.trees import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

CHECKS = "inter 2s downinter 500ms rise 1 fall 30"
IMPATIENT = "inter 100ms downinter 100ms rise 1 fall 2"
REQUESTS = 100
"""They take longer than the checks after which an impatient proxy drops an API."""


@pytest.fixture(scope="module")
def prod(stacks: MakeStack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A prod stack whose proxy drops at once what it would drop after a minute."""
    tree = Tree.copy_to(tmp_path_factory.mktemp("trees") / "tree")
    tree.change("deploy/opentr/templates/config/proxy/haproxy.cfg.j2", CHECKS, IMPATIENT)
    made = stacks(checkout=tree.root)
    made.done("start", "prod")
    return made


def test_without_redis_the_api_is_not_ready_and_goes_on_answering(prod: Stack):
    files, ready = page(prod, "/api/files"), page(prod, "/ready")
    command = ["docker", "stop", prod.containers()["redis"].id]
    subprocess.run(command, check=True, capture_output=True)
    wait_until(lambda: "redis" in (fault(ready) or ""))
    assert [found for found in (fault(files) for _ in range(REQUESTS)) if found] == []
    assert (fault(ready) or "").startswith("503 ")


def test_figures_about_the_inside_are_for_nobody_outside(prod: Stack):
    for path in ("/metrics", "/%6Detrics", "/%6d%65trics", "/metrics/"):
        assert (fault(page(prod, path)) or "").startswith("404 "), path


def test_an_upload_through_the_proxy_may_be_longer_than_its_memory(prod: Stack, tmp_path: Path):
    """Sparse, and not even audio: it arrives as a whole, and ends in words."""
    file = tmp_path / "zeros.mp3"
    with file.open("wb") as zeros:
        zeros.truncate(300_000_000)
    prod.done("start", "prod")
    said = prod("transcribe", "prod", str(file))
    assert said.returncode == 1
    assert "neither an audio nor a video file" in said.stderr
