"""Local processes from the checkout's own .venv."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from opentr import process

if TYPE_CHECKING:
    from collections.abc import Sequence


class Embedded:
    """Runs the app's modules with the interpreter that runs us."""

    def run_module(self, module: str, args: Sequence[str]) -> int:
        """Run `python -m module args` on our terminal and return its exit code.

        Raises ProcessKilled if a signal that we didn't pass on ended it.
        """
        return process.attached([sys.executable, "-I", "-m", module, *args])
