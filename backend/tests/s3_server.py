"""A real S3 store for tests: moto's server, with a bucket."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec

from app.db import scratch
from app.storage.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET = "recordings"
_SECONDS = 30


@dataclass
class S3Server:
    """A running store; its bucket is empty at first."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def options(self) -> dict[str, Any]:
        """What fsspec needs to know."""
        return {
            "key": "k",
            "secret": "s",
            "client_kwargs": {"endpoint_url": self.endpoint, "region_name": "eu-central-1"},
        }

    def files(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """The store as a file system that remembers nothing."""
        return fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, **self.options)

    def bucket(self, place: str = f"{BUCKET}/a/prefix") -> Bucket:
        """Our media store on it."""
        return Bucket(place, self.options)

    def settings(self, folder: Path) -> dict[str, object]:
        """What the app's settings say about it; the key's files are made in the folder."""
        (folder / "s3_key").write_text("k")
        (folder / "s3_secret").write_text("s")
        return {
            "MEDIA_URL": f"s3://{BUCKET}/a/prefix",
            "MEDIA_S3_ENDPOINT": self.endpoint,
            "MEDIA_S3_REGION": "eu-central-1",
            "MEDIA_S3_KEY_FILE": folder / "s3_key",
            "MEDIA_S3_SECRET_FILE": folder / "s3_secret",
        }


@contextlib.contextmanager
def own_s3() -> Iterator[S3Server]:
    """A store that is removed at the end."""
    port = scratch.free_port()
    argv = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            server = S3Server(port, process)
            _make_bucket(server, time.monotonic() + _SECONDS)
            yield server
        finally:
            process.kill()
            process.wait()


def _make_bucket(server: S3Server, until: float) -> None:
    while True:
        try:
            server.files().mkdir(BUCKET)
        except Exception:  # noqa: BLE001 - whatever it is while it starts
            assert server.process.poll() is None
            assert time.monotonic() < until
        else:
            return
