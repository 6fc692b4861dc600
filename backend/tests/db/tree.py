"""A copy of the checkout that a test may change, and its verbs as processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL

CHECKOUT = Path(__file__).resolve().parents[3]
COPIED = ("backend/app", "backend/alembic", "backend/alembic.ini", "database", "VERSION")


@dataclass(frozen=True)
class Tree:
    """The copy's folder."""

    root: Path

    @classmethod
    def copy_to(cls, root: Path) -> Tree:
        """Copies what the verbs need."""
        for name in COPIED:
            source, target = CHECKOUT / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        return cls(root)

    def change(self, file: str, old: str, new: str) -> None:
        """Replaces `old`, which must stand there exactly once."""
        path = self.root / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    def write(self, file: str, text: str) -> None:
        """Makes a file."""
        (self.root / file).write_text(text)

    def run(self, words: Sequence[str], url: URL | None = None) -> subprocess.CompletedProcess[str]:
        """Runs `python words...` in the copy's backend, with `url` as the migrator's database."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        environment |= {"PYTHONPATH": str(self.root / "backend"), "PYTHONDONTWRITEBYTECODE": "1"}
        if url is not None:
            environment["MIGRATOR_DATABASE_URL"] = url.render_as_string(hide_password=False)
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.root / "backend",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
