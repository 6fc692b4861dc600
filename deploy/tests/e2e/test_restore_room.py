"""A restore that finds no room on the volume of the data, before it begins and in the middle."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.deploying import at_work
from tests.e2e.test_restore import CONFIRMED, add, outcomes, serves, tags
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

VOLUME_MB = 768
FOLDER = "/var/lib/postgresql"
FILLER = f"{FOLDER}/filler"
FILL = f"dd if=/dev/zero of={FILLER} bs=1M 2>&1 | grep -q 'No space left'"
STEP = "restore all that was archived beside the live cluster, and prove it"


@pytest.fixture(scope="module")
def prod(stacks: MakeStack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """Prod's data services, with a backup; the data is where little room is."""
    tree = Tree.copy_to(tmp_path_factory.mktemp("trees") / "tree")
    memory = f'{{type: tmpfs, device: tmpfs, o: "size={VOLUME_MB}m,uid=10001,gid=10001,mode=0700"}}'
    name = "  postgres-data: {labels: *labels"
    tree.change("docker-compose.prod.yml", f"{name}}}", f"{name}, driver_opts: {memory}}}")
    made = stacks(checkout=tree.root)
    made.done("start", "prod", "--profile", "infra")
    made.done("backup", "prod")
    return made


@pytest.fixture(autouse=True)
def holder(prod: Stack) -> Iterator[str]:
    """A container that has the volume: in memory, it is empty again when nobody has it any more."""
    words = ["docker", "run", "--detach", "--rm", "--network", "none", "--entrypoint", "sleep"]
    mount = ["--volume", f"{prod.project}_postgres-data:{FOLDER}"]
    image = prod.containers()["postgres"].image
    said = subprocess.run([*words, *mount, image, "infinity"], check=True, capture_output=True, text=True)
    yield said.stdout.strip()
    kill = ["docker", "kill", said.stdout.strip()]
    subprocess.run(kill, check=True, capture_output=True)


@contextmanager
def filled(holder: str) -> Iterator[None]:
    """No room during the block."""
    inside = ["docker", "exec", holder]
    subprocess.run([*inside, "sh", "-c", FILL], check=True)
    try:
        yield
    finally:
        subprocess.run([*inside, "rm", FILLER], check=True)


def test_a_full_disk_is_refused_while_all_serves(prod: Stack, holder: str):
    add(prod, "before")
    started = prod.containers()["postgres"].started
    with filled(holder):
        said = prod("restore", "prod", "--latest", *CONFIRMED)
    assert said.returncode == 4, said.stderr
    assert "are needed, and " in said.stderr
    assert " are free; nothing was touched" in said.stderr
    assert "./opentr.sh clean prod" in said.stderr
    assert prod.containers()["postgres"].started == started
    assert serves(prod)


def test_a_disk_that_fills_up_meanwhile_costs_nothing(prod: Stack, holder: str):
    add(prod, "newer")
    with at_work(prod, "restore", "prod", "--latest", *CONFIRMED) as running:
        running.wait_for(STEP)
        with filled(holder):
            code = running.exit_code()
        said = running.said
    assert code in (1, 5), said  # 5: even what was there before found no room to start
    assert code == 5 or "what was there before is there again" in said
    prod.done("start", "prod", "--profile", "infra")
    assert outcomes(prod)[-1] == "reverted"
    assert "newer" in tags(prod)
    assert serves(prod)
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert "newer" in tags(prod)
