"""What tests of a reset look at while it goes on, and afterwards."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from tests.stacks import Stack

LIVE, PREVIOUS, NEXT = "opentranscribe", "opentranscribe_previous", "opentranscribe_next"
ADMIN_ID = 1
_PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.005


@dataclass
class Answers:
    """What a client got that kept asking."""

    good: int = 0
    failures: list[str] = field(default_factory=list)
    longest_seconds: float = 0


@contextmanager
def asking(stack: Stack) -> Iterator[Answers]:
    """A client that keeps asking the API for its files meanwhile."""
    answers, told, first = Answers(), threading.Event(), threading.Event()
    request = files_request(stack)

    def ask() -> None:
        while not told.is_set():
            began = time.monotonic()
            try:
                get(request)
                answers.good += 1
            except OSError as error:
                answers.failures.append(str(error))
            answers.longest_seconds = max(answers.longest_seconds, time.monotonic() - began)
            first.set()

    thread = threading.Thread(target=ask)
    thread.start()
    first.wait()
    yield answers
    told.set()
    thread.join()


def files_request(stack: Stack) -> urllib.request.Request:
    """The question for the administrator's files."""
    request = urllib.request.Request(f"http://{stack.address('api', 8000)}/api/files")
    request.add_header("Authorization", f"Bearer {token(stack)}")
    return request


def get(request: urllib.request.Request) -> None:
    """Asks once; raises OSError for any other answer than a good one."""
    with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310 - our own, by http
        answer.read()


def answers(stack: Stack) -> bool:
    """Whether the API answers now."""
    try:
        get(files_request(stack))
    except OSError:
        return False
    return True


def token(stack: Stack) -> str:
    """The administrator's, signed with the stack's own key."""
    key = (stack.state / "secrets/jwt_secret").read_text().strip()
    now = int(time.time())
    return jwt.encode({"sub": str(ADMIN_ID), "iat": now, "exp": now + 3600}, key, algorithm="HS256")


def sql(stack: Stack, statement: str, database: str = LIVE) -> str:
    """What the database answers, to a superuser."""
    words = ["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, "-c", statement]
    return inside(stack, "postgres", *words)


def inside(stack: Stack, service: str, *words: str) -> str:
    """What a program in a service's container says."""
    return _said(["docker", "exec", stack.containers()[service].id, *words]).strip()


def _said(words: list[str], stdin: str = "") -> str:
    said = subprocess.run(words, input=stdin, check=False, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return said.stdout


def databases(stack: Stack) -> set[str]:
    """The databases that are ours, without templates."""
    names = sql(stack, "SELECT datname FROM pg_database WHERE datname LIKE 'opentranscribe%'", "postgres").split()
    return {name for name in names if "_template_" not in name}


def redis(stack: Stack, number: int, command: str) -> str:
    """What Redis answers in one of its databases."""
    password = (stack.state / "secrets/redis_password").read_text().strip()
    container = stack.containers()["redis"].id
    lines = f"AUTH app {password}\nSELECT {number}\n{command}\n"
    return _said(["docker", "exec", "-i", container, "redis-cli"], stdin=lines).split("\n")[2].strip()


def generations(stack: Stack) -> set[str]:
    """The tokens of the live database, Redis database and media folder: one, unless they belong to different ones."""
    comment = sql(stack, f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{LIVE}'")
    media = inside(stack, "api", "cat", "/srv/media/current/.generation")
    return {comment.removeprefix("generation "), redis(stack, 0, "GET opentr:generation"), media}


def pool_is_paused(stack: Stack) -> bool:
    """Whether the pool's clients are held."""
    console = ["psql", "-X", "--csv", "-h", "/run/pgbouncer", "-p", "6432", "-U", "pgbouncer", "-d", "pgbouncer"]
    title, *rows = inside(stack, "pgbouncer", *console, "-c", "SHOW DATABASES").splitlines()
    place, name = title.split(",").index("paused"), title.split(",").index("name")
    return any(row.split(",")[place] == "1" for row in rows if row.split(",")[name] == LIVE)


def commands(stack: Stack) -> list[str]:
    """The commands that the tool has begun in containers since it was called, by its own log."""
    lines = (stack.state / "opentr.log").read_text().split(" begin: ")[-1].splitlines()
    return [line for line in lines if " exec --interactive " in line and "ended with" not in line]


@contextmanager
def running(stack: Stack, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`./opentr.sh` with these words, at work beside the block; killed at its end if it still is."""
    before = log_size(stack)
    process = subprocess.Popen(
        [stack.command, *words], env=stack.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        wait_until(lambda: log_size(stack) > before or process.poll() is not None)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def log_size(stack: Stack) -> int:
    """How often the tool has begun, by its log."""
    log = stack.state / "opentr.log"
    return log.read_text().count(" begin: ") if log.exists() else 0


def wait_until(true: Callable[[], bool], seconds: float = _PATIENCE_SECONDS) -> None:
    """Looks until it is so; fails after a minute, or this many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(_LOOK_SECONDS)


def interrupted_at(stack: Stack, step: int, number: signal.Signals, *words: str) -> int:
    """Sends the signal when the tool has begun its command of this number in a container; its exit code."""
    with running(stack, *words) as process:
        wait_until(lambda: len(commands(stack)) >= step or process.poll() is not None)
        process.send_signal(number)
        return process.wait()


def summary(stack: Stack, *words: str) -> dict[str, object]:
    """What the tool prints with --json."""
    found: dict[str, object] = json.loads(stack.done(*words, "--json"))
    return found
