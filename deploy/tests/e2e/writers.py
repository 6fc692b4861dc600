"""A light load on a stack of prod: writers through the pool, and visitors through the proxy.

The writers run in a container of their own, with the application's image, network and password, so that they outlive
whatever a deploy does to the API. Each write that was acknowledged to them is in a file of ours before the next one
begins to be of interest; `faults` holds the database against it afterwards.
"""

from __future__ import annotations

import http.client
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.watching import sql, token, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stacks import Stack

PROGRAM = Path(__file__).with_name("writer.py")
THREADS = 2
PAUSE_MS = 40
VISIT_PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 30
_END_SECONDS = 120
"""as long as the pool holds a client at most: query_wait_timeout"""


@dataclass
class Load:
    """What the writers of one run were told so far."""

    run: str
    files: list[int]
    log: Path
    acknowledged: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """reasons of attempts that failed; each was tried again"""
    longest_seconds: float = 0.0
    """the longest time without an acknowledged write"""
    _last: float = field(default_factory=time.monotonic)

    def take(self, lines: Iterator[str]) -> None:
        """Keeps what the container says, each line on our disk at once."""
        with self.log.open("a", encoding="utf-8", buffering=1) as log:
            for line in lines:
                log.write(line)
                kind, _, rest = line.rstrip("\n").partition(" ")
                if kind == "acknowledged":
                    now = time.monotonic()
                    self.longest_seconds, self._last = max(self.longest_seconds, now - self._last), now
                    self.acknowledged.append(rest)
                else:
                    self.failures.append(line.rstrip("\n"))

    def wait_for_more(self, number: int = 5) -> None:
        """Waits until this many further writes were acknowledged."""
        enough = len(self.acknowledged) + number
        wait_until(lambda: len(self.acknowledged) >= enough)


@contextmanager
def writing(stack: Stack, *, threads: int = THREADS, pause_ms: int = PAUSE_MS) -> Iterator[Load]:
    """Writes meanwhile. Inside the block at least one write was acknowledged already."""
    run = f"load-{secrets.token_hex(4)}"
    load = Load(run, _make_files(stack, run, threads), stack.folder / f"{run}.log")
    name = f"{stack.project}-{run}"
    words = [*_container(stack, name), run, str(pause_ms), *map(str, load.files)]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdin
    assert process.stdout
    reader = threading.Thread(target=load.take, args=(process.stdout,))
    reader.start()
    try:
        wait_until(lambda: bool(load.acknowledged) or process.poll() is not None)
        assert load.acknowledged, load.failures
        yield load
        process.stdin.close()
        assert process.wait(_END_SECONDS) == 0, load.failures[-5:]
    finally:
        process.stdin.close()
        stack.engine.remove_container(name, grace=0)
        process.wait()
        reader.join()
        process.stdout.close()


def _make_files(stack: Stack, run: str, number: int) -> list[int]:
    """A media file for each thread."""
    made = sql(
        stack,
        "INSERT INTO media_file (filename, storage_path, file_size, content_type, user_id, frame_count)"
        f" SELECT '{run}', '{run}/' || n, 1, 'audio/wav', 1, 0 FROM generate_series(1, {number}) AS n RETURNING id",
    )
    return [int(line) for line in made.splitlines() if line.isdigit()]


def _container(stack: Stack, name: str) -> list[str]:
    """The command of a container like the API's, with the program in place of the API."""
    folder = stack.state / "secrets"
    secret = [
        word
        for each in ("app_rw_password", "redis_password", "jwt_secret")
        for word in ("--volume", f"{folder / each}:/run/secrets/{each}:ro")
    ]
    given = {
        "DATABASE_URL": "postgresql+psycopg2://app_rw@pgbouncer:6432/opentranscribe",
        "DATABASE_PASSWORD_FILE": "/run/secrets/app_rw_password",
        "DB_BEHIND_POOLER": "true",
        "REDIS_PASSWORD_FILE": "/run/secrets/redis_password",
        "REDIS_URL": "redis://app@redis:6379/0",
        "JWT_SECRET_FILE": "/run/secrets/jwt_secret",
        "APPLICATION_NAME": "opentr-load",
    }
    variables = [word for key, value in given.items() for word in ("--env", f"{key}={value}")]
    image = stack.containers()["api"].image
    hull = ["--init", "--read-only", "--cap-drop", "ALL", "--network", f"{stack.project}_app", *secret, *variables]
    program = PROGRAM.read_text(encoding="utf-8")
    return ["docker", "run", "--rm", "--interactive", "--name", name, *hull, image, "python", "-c", program]


def faults(stack: Stack, load: Load) -> list[str]:
    """What isn't as the writers were told: no acknowledged write may be missing, none may be there twice or in part."""
    told = Counter(load.acknowledged)
    comments = Counter(sql(stack, f"SELECT text FROM comment WHERE text LIKE '{load.run}-%'").split())
    tasks = set(sql(stack, f"SELECT id FROM task WHERE id LIKE '{load.run}-%'").split())
    wrong = [f"{key}: acknowledged {times} times" for key, times in told.items() if times > 1]
    wrong += [f"{key}: acknowledged, its comment is there {comments[key]} times" for key in told if comments[key] != 1]
    wrong += [f"{key}: acknowledged, its task is missing" for key in told if key not in tasks]
    wrong += [f"{key}: half a transaction" for key in comments.keys() ^ tasks]
    wrong += [f"{key}: {times} times" for key, times in comments.items() if times > 1 and key not in told]
    return wrong + _miscounted(stack, load, comments)


def _miscounted(stack: Stack, load: Load, comments: Counter[str]) -> list[str]:
    """Files whose count isn't that of their comments: an update that was lost, or came twice."""
    rows = sql(stack, f"SELECT id, frame_count FROM media_file WHERE filename = '{load.run}'").split()
    counts = dict(tuple(map(int, row.split("|"))) for row in rows)
    wrong = []
    for file in load.files:
        there = sum(times for key, times in comments.items() if key.startswith(f"{load.run}-{file}-"))
        if counts.get(file) != there:
            wrong.append(f"file {file}: {there} comments, counted {counts.get(file)}")
    return wrong


@dataclass
class Visits:
    """What visitors got who kept coming."""

    good: Counter[str] = field(default_factory=Counter)
    """answered requests by path"""
    failures: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    """the longest time between two good answers"""


@contextmanager
def visiting(stack: Stack, *paths: str) -> Iterator[Visits]:
    """Asks for these through the proxy meanwhile, each time on a new connection; default: /ready and the files."""
    visits, told = Visits(), threading.Event()
    asked = [(path, page(stack, path)) for path in paths or ("/ready", "/api/files")]

    def visit() -> None:
        last = time.monotonic()
        while not told.wait(VISIT_PAUSE_SECONDS):
            for path, request in asked:
                if reason := fault(request):
                    visits.failures.append(f"{path}: {reason}")
                    continue
                now = time.monotonic()
                visits.good[path] += 1
                visits.longest_seconds, last = max(visits.longest_seconds, now - last), now

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        yield visits
    finally:
        told.set()
        thread.join()


def page(stack: Stack, path: str) -> urllib.request.Request:
    """The administrator's question for this path, to the proxy."""
    port = stack.settings.get("OPENTR_PROXY_PORT")
    address = f"127.0.0.1:{port}" if port else stack.address("proxy", 8080)
    request = urllib.request.Request(f"http://{address}{path}")
    request.add_header("Authorization", f"Bearer {token(stack)}")
    return request


def fault(request: urllib.request.Request) -> str | None:
    """Why there was no good answer; None if there was one."""
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 - our own, by http
            answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code} {error.read()[:200]!r}"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    return None
