"""One upload of 1 GB to the API: how much its memory grows, and how fast it is; to a folder, to a bucket."""

from __future__ import annotations

import http.client
import json
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.places import api_settings, signed_in
from tests.s3_server import own_s3
from tests.servers import HEAD
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figures import Bench

BYTES = 1024**3
PIECE = os.urandom(1024**2)
MEGABYTE = 1024**2
_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
_TAIL = b"\r\n--b--\r\n"


def measure(bench: Bench) -> None:
    """The same upload to both kinds of store."""
    rows = []
    with ExitStack() as stack:
        url = stack.enter_context(bench.server.clone(HEAD))
        own = url.set(username="app_rw", password=bench.server.passwords["app_rw"], host="127.0.0.1", query={})
        folder, settings = api_settings(stack, own)
        token = signed_in(own)
        rows.append(["folder", *_measure(folder, settings, token)])
        bucket = {name: str(value) for name, value in stack.enter_context(own_s3()).settings(folder).items()}
        rows.append(["bucket (moto's server)", *_measure(folder, settings | bucket, token)])
    columns = ["store", "memory before (MB)", "growth at most (MB)", "seconds", "MB/s"]
    bench.add(f"Upload of {BYTES // MEGABYTE} MB; the API's resident memory", columns, rows)


def _measure(folder: Path, settings: dict[str, str], token: str) -> list[float]:
    with serving(folder, 1, **settings) as api:
        api.until_ready()
        _upload(int(api.port), token, 20 * MEGABYTE)  # what the first one imports isn't what a large one takes
        status = Path(f"/proc/{api.process.pid}")
        before = _kilobytes(status, "VmRSS")
        (status / "clear_refs").write_text("5")  # the peak begins anew. Source: proc(5)
        began = time.monotonic()
        _upload(int(api.port), token, BYTES)
        seconds = time.monotonic() - began
        growth = _kilobytes(status, "VmHWM") - before
    return [before / 1024, growth / 1024, seconds, BYTES / MEGABYTE / seconds]


def _kilobytes(process: Path, name: str) -> int:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _upload(port: int, token: str, size: int) -> None:
    def parts() -> Iterator[bytes]:
        yield _HEAD
        yield from (PIECE for _ in range(size // len(PIECE)))
        yield _TAIL

    length = len(_HEAD) + size + len(_TAIL)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(length),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("POST", "/api/files", body=parts(), headers=headers)
    answer = connection.getresponse()
    body: dict[str, Any] = json.loads(answer.read())
    if answer.status != http.client.OK or body["file_size"] != size:
        raise RuntimeError(f"{answer.status}: {body}")
    connection.close()
