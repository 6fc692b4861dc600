"""Copies of the checkout that tests change: further revisions, broken images, other versions.

A tree is a checkout of its own: its `./opentr.sh` runs its own code, reads its own files and builds its own images, of
which those that nothing was changed in are found by their digest. It installs nothing: its `.venv` borrows the packages
of ours.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stacks import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSIONS, CATALOGS = "backend/alembic/versions", "backend/alembic/catalogs"
CACHE = CHECKOUT / ".cache" / "test-catalogs"
"""Catalogs of revisions that tests have made before, by the content of all that makes them."""
_MAKES_CATALOGS = (VERSIONS, "backend/alembic/env.py", "database/queries/catalog.sql", "database/roles.sql")
_IDENTITY = ("-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false")
_REVISION = '''"""{subject}.

Revision ID: {id}
Revises: {before}
"""

from alembic import op
from app.db.online import create_index

revision = "{id}"
down_revision = "{before}"
branch_labels = None
depends_on = None

oldest_release = "{oldest_release}"


def upgrade() -> None:
{body}


def downgrade() -> None:
    raise NotImplementedError
'''


@dataclass(frozen=True)
class Tree:
    """The copy's folder, a git repository of its own."""

    root: Path

    @classmethod
    def copy_to(cls, root: Path) -> Tree:
        """Copies what git knows and what it would take, as it stands now, and commits it there."""
        for name in _git(CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
            if name and (CHECKOUT / name).is_file():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, root / name)
        tree = cls(root.resolve())
        tree._borrow_packages()
        _git(tree.root, "init", "--quiet")
        tree.commit("As it stands")
        return tree

    def commit(self, subject: str, *, tag: str | None = None) -> None:
        """Commits all that has changed, and gives the commit this tag."""
        _git(self.root, "add", "--all")
        _git(self.root, *_IDENTITY, "commit", "--quiet", "--allow-empty", "--message", subject)
        if tag:
            _git(self.root, *_IDENTITY, "tag", "--annotate", tag, "--message", tag)

    def change(self, file: str, old: str, new: str) -> None:
        """Replaces `old`, which must stand there exactly once."""
        text = self.read(file)
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        self.write(file, text.replace(old, new))

    def read(self, file: str) -> str:
        """What stands in a file."""
        return (self.root / file).read_text(encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        """Makes a file, or replaces it."""
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text, encoding="utf-8")

    def set_version(self, version: str) -> None:
        """Makes it the checkout of this version."""
        self.write("VERSION", f"{version}\n")

    @contextmanager
    def broken_app(self) -> Iterator[None]:
        """During the block its images' containers never get healthy: neither API nor worker start. Migrations run."""
        files = {name: self.read(name) for name in ("backend/app/main.py", "backend/app/core/celery.py")}
        for name, text in files.items():
            self.write(name, f"{text}\nraise SystemExit('broken on purpose')\n")
        try:
            yield
        finally:
            for name, text in files.items():
                self.write(name, text)

    def add_revision(self, subject: str, *statements: str, oldest_release: str = "0.1.0") -> str:
        """Adds a revision that executes these statements in its transaction; returns its id.

        They must work on an empty database, where the catalog is found out: a revision that is to fail fails on rows.
        """
        lines = [f"    op.execute({statement!r})" for statement in statements]
        return self.add_code(subject, "\n".join(lines), oldest_release=oldest_release)

    def add_index(self, subject: str, name: str, definition: str) -> str:
        """Adds a revision that builds an index CONCURRENTLY, outside of a transaction; returns its id."""
        return self.add_code(subject, f"    create_index({name!r}, {definition!r})")

    def add_code(self, subject: str, body: str, *, oldest_release: str = "0.1.0") -> str:
        """Adds a revision whose upgrade() has this body, and the catalog that it makes; returns its id."""
        before = self.head()
        made = f"{int(before) + 1:04d}"
        text = _REVISION.format(subject=subject, id=made, before=before, body=body, oldest_release=oldest_release)
        self.write(f"{VERSIONS}/{made}_{'_'.join(subject.lower().split())}.py", text)
        self.write(f"{CATALOGS}/{made}.json", self._catalog(made))
        return made

    def head(self) -> str:
        """The newest revision's id."""
        return max(file.stem for file in (self.root / CATALOGS).glob("*.json"))

    def drop_revision(self, revision: str) -> None:
        """Takes a revision and its catalog away again."""
        for file in (*(self.root / VERSIONS).glob(f"{revision}_*.py"), self.root / CATALOGS / f"{revision}.json"):
            file.unlink()

    def _catalog(self, revision: str) -> str:
        """What the chain makes on a scratch server; of a chain that was seen before, what it made then."""
        total = hashlib.sha256()
        for place in _MAKES_CATALOGS:
            for file in sorted(_files(self.root / place)):
                total.update(f"{file.name}\0{file.read_text(encoding='utf-8')}\0".encode())
        kept = CACHE / f"{total.hexdigest()}.json"
        if not kept.exists():
            self._python("-m", "app.db.revision", "--record")
            CACHE.mkdir(parents=True, exist_ok=True)
            unfinished = kept.with_suffix(f".{revision}-{self.root.name}")
            shutil.copy(self.root / CATALOGS / f"{revision}.json", unfinished)
            unfinished.replace(kept)
        return kept.read_text(encoding="utf-8")

    def _python(self, *words: str) -> None:
        command = [str(self.root / ".venv/bin/python"), "-I", *words]
        said = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr

    def _borrow_packages(self) -> None:
        """A `.venv` with the name by which scripts/venv.sh knows the one that it would make.

        Its packages and programs are links to ours, and so are Debian's servers.
        """
        ours = Path(sys.prefix)
        python = Path(sys.executable).resolve()
        venv = self.root / ".cache/venv" / f"dev-{self._digest(python)}"
        packages = Path("lib") / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        (venv / packages).mkdir(parents=True)
        (venv / "bin").mkdir()
        (venv / "pyvenv.cfg").write_text((ours / "pyvenv.cfg").read_text(encoding="utf-8"), encoding="utf-8")
        for package in (ours / packages).iterdir():
            if package.name != "opentr.pth":
                (venv / packages / package.name).symlink_to(package)
        if (ours / "redis").is_dir():
            (venv / "redis").symlink_to(ours / "redis")
        paths = (self.root / "backend", self.root / "deploy")
        (venv / packages / "opentr.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
        for program in (ours / "bin").iterdir():
            (venv / "bin" / program.name).symlink_to(python if program.name.startswith("python") else program)
        (venv / "complete").touch()
        (self.root / ".venv").symlink_to(venv.relative_to(self.root))
        if (CHECKOUT / ".cache/debian").is_dir():
            (self.root / ".cache/debian").symlink_to(CHECKOUT / ".cache/debian")

    def _digest(self, python: Path) -> str:
        """What scripts/venv.sh (folder_for) names the environment by."""
        total = hashlib.sha256(f"{self.root}\n{python}\n".encode())
        for file in ("deploy/requirements-dev.txt", "deploy/requirements-redis.txt", "scripts/venv.sh"):
            total.update((self.root / file).read_bytes())
        return total.hexdigest()[:16]


def _files(place: Path) -> Sequence[Path]:
    return [place] if place.is_file() else list(place.glob("*.py"))


def _git(place: Path, *words: str) -> str:
    said = subprocess.run(
        ["/usr/bin/env", "git", "-C", str(place), *words], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    return said.stdout
