"""The API as a process, as containers run it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.db import binaries, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKEND = binaries.CHECKOUT / "backend"


def check(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "app.healthcheck", *words]
    return subprocess.run(argv, cwd=BACKEND, capture_output=True, text=True, check=False)


@dataclass
class Api:
    """The running processes."""

    process: subprocess.Popen[bytes]
    port: str
    log: Path

    def until_ready(self) -> None:
        """Asks the health check until it says so; fails when the server has ended."""
        while check("api", self.port).returncode:
            assert self.process.poll() is None, self.log.read_text()


@contextlib.contextmanager
def serving(folder: Path, workers: int, **settings: str) -> Iterator[Api]:
    """uvicorn with so many processes."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    port, log = str(scratch.free_port()), folder / "log"
    words = ["--port", port, "--workers", str(workers), "--log-config", "uvicorn.json", "--no-access-log"]
    argv = [sys.executable, "-m", "uvicorn", "app.main:app", *words]
    with log.open("ab") as output:
        process = subprocess.Popen(argv, cwd=BACKEND, env=environment | settings, stdout=output, stderr=output)
    try:
        yield Api(process, port, log)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
