"""`python -m app.healthcheck api [PORT]` or `worker`: exit code 0 if it serves, else 1, and one line that says why.

Containers ask this every few seconds, so nothing is imported that the question doesn't need.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 5
WORKER_SECONDS = 8
"""It asks beside an engine that has all processors at work, and needs most of a second of one itself."""
_API_PORT = 8000


class Unhealthy(Exception):
    """It doesn't serve; the text says why."""


def main(words: Sequence[str]) -> int:
    """Asks, says what it found, returns the exit code."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(WORKER_SECONDS if words[:1] == ["worker"] else SECONDS)
    try:
        found, code = _ask(words), 0
    except Unhealthy as reason:
        found, code = str(reason), 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it isn't health
        found, code = f"{type(error).__name__}: {error}", 1
    signal.alarm(0)
    sys.stdout.write(f"{' '.join(found.split())}\n")
    return code


def _ask(words: Sequence[str]) -> str:
    match words:
        case ["api"]:
            return api(_API_PORT)
        case ["api", port] if port.isdecimal():
            return api(int(port))
        case ["worker"]:
            return worker()
    raise Unhealthy("usage: python -m app.healthcheck api [PORT] | worker")


def _give_up(_signal: int, _frame: object) -> None:
    raise Unhealthy("no answer in time")


def api(port: int) -> str:
    """Asks the API on this machine whether it is ready. Raises `Unhealthy`."""
    import http.client  # noqa: PLC0415 - see above
    import json  # noqa: PLC0415

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/ready")
    answer = connection.getresponse()
    checks = json.loads(answer.read()).get("checks", {})
    wrong = ", ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")
    if answer.status != http.client.OK:
        raise Unhealthy(f"not ready: {wrong or answer.status}")
    return "ready"


def worker() -> str:
    """Sends a ping through the broker to the worker on this machine. Raises `Unhealthy`."""
    import socket  # noqa: PLC0415

    from app.core.celery import celery_app  # noqa: PLC0415

    node = f"celery@{socket.gethostname()}"
    with celery_app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
        for _ in range(WORKER_SECONDS - 2):  # what is sent before the worker listens is lost
            if celery_app.control.inspect([node], timeout=1, connection=connection).ping():
                return "the worker answers"
    raise Unhealthy(f"{node} doesn't answer")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
