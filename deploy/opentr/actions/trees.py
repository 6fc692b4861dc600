"""Source trees that a release is made from: this checkout, or what a git tag holds."""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import process
from opentr.errors import ProcessFailed, ProgramMissing
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPOSE_FILE = "docker-compose.prod.yml"
_MADE_OF = ("VERSION", COMPOSE_FILE, "images", "database", "backend", "deploy/opentr/templates")
"""What of a tree becomes a release; changes elsewhere don't make it another one."""
_MAJOR = re.compile(r"/usr/lib/postgresql/(\d+)")
_HEAD = re.compile(r"^revision(?:: str)? = ['\"]([^'\"]+)", re.MULTILINE)
_OLDEST = re.compile(r"^oldest_release(?:: str)? = ['\"]([^'\"]+)", re.MULTILINE)


@dataclass(frozen=True)
class Tree:
    """A source tree."""

    path: Path
    commit: str | None
    """None: it isn't a git repository"""
    dirty: bool
    """it differs from its commit in what a release is made of"""

    @property
    def version(self) -> str:
        """What VERSION says."""
        return self.text("VERSION").strip()

    @property
    def compose_file(self) -> str:
        """The text of production's Compose file."""
        return self.text(COMPOSE_FILE)

    @property
    def templates(self) -> Path:
        """The folder with the templates of its configuration."""
        return self.path / "deploy" / "opentr" / "templates"

    @property
    def templates_digest(self) -> str:
        """Changes with the templates."""
        files = sorted(self.templates.rglob("*.j2"))
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]

    @property
    def roles(self) -> str:
        """roles.sql, as the image of Postgres holds it."""
        return self.text("database/roles.sql")

    @property
    def postgres_major(self) -> int:
        """Of the Postgres in its image."""
        found = _MAJOR.search(self.text("images/postgres/Dockerfile"))
        return int(found[1]) if found else 0

    def revisions(self) -> list[tuple[str, str, str]]:
        """Its migrations, oldest first: (revision, oldest release, subject), as their files say."""
        found = []
        for file in sorted((self.path / "backend" / "alembic" / "versions").glob("*.py")):
            text = file.read_text(encoding="utf-8")
            if (revision := _HEAD.search(text)) and (oldest := _OLDEST.search(text)):
                subject = text.partition('"""')[2].partition("\n")[0].partition(":")[0].rstrip('."')
                found.append((revision[1], oldest[1], subject))
        return sorted(found)

    def text(self, name: str) -> str:
        """A file's text."""
        return (self.path / name).read_text(encoding="utf-8")


def checkout() -> Tree:
    """The checkout that this tool runs from."""
    commit = _git(CHECKOUT, "rev-parse", "--verify", "HEAD") if _is_repository(CHECKOUT) else None
    changed = _git(CHECKOUT, "status", "--porcelain", "--", *_MADE_OF) if commit else None
    return Tree(CHECKOUT, commit, dirty=bool(changed))


def tag(name: str) -> str | None:
    """The tag that is meant by a version, its own name or with a v before it; None if there is none."""
    if not _is_repository(CHECKOUT):
        return None
    for each in (name, f"v{name}"):
        if _git(CHECKOUT, "rev-parse", "--verify", "--quiet", f"refs/tags/{each}^{{commit}}"):
            return each
    return None


@contextmanager
def of_tag(name: str) -> Iterator[Tree]:
    """What a tag holds, in a folder of its own for as long as the block lasts; the checkout isn't touched."""
    commit = _git(CHECKOUT, "rev-parse", "--verify", f"refs/tags/{name}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="opentr-tree-") as folder, tempfile.TemporaryFile() as archive:
        process.piped([*_argv(CHECKOUT), "archive", "--format=tar", f"refs/tags/{name}"], target=archive)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as files:
            files.extractall(folder, filter="tar")  # our own repository's; modes stay as they are
        yield Tree(Path(folder), commit, dirty=False)


def _is_repository(folder: Path) -> bool:
    """Whether the folder itself is a repository, not a folder somewhere in one."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    return top is not None and Path(top).resolve() == folder.resolve()


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it fails or isn't installed."""
    try:
        return process.run([*_argv(folder), *words]).strip()
    except (ProcessFailed, ProgramMissing):
        return None


def _argv(folder: Path) -> list[str]:
    # Who runs us (root, by sudo) may be another than whose checkout it is.
    return ["git", "-c", f"safe.directory={folder}", "-C", str(folder)]
