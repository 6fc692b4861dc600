"""What supervisord starts for each service: `launch.py SERVICE`, in the folder with the service's specification.

It ends what an earlier run of the service has left behind, sends output to the service's log, each line with the time
at which it came, writes down who it is, and becomes the service: so supervisord's signals reach that itself. Ends
supervisord without a word (SIGKILL), the kernel stops the service.

It knows nothing of the rest of the tool, so that it starts fast: `python -I -S`.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

MARK = "OPENTRANSCRIBE_SERVICE"
HANDED_ON: tuple[str, ...] = (
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
HANDED_ON += ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""Variables of the user that services get as well."""
LOG_BYTES, LOG_FILES = 20 << 20, 5
"""As docker-compose.dev.yml has it (max-size, max-file)."""
LONGEST_LINE = 1 << 20
_WAITING_LINES = 100
_ROOM_SECONDS = 3.0
_PR_SET_PDEATHSIG = 1
_NOT_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
"""What is ignored stays so in a service: by a script that calls us with `&`, by nohup, by Python (the last two)."""
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.05
_STARTED = 19


def main(service: str) -> None:
    """Become the service."""
    specification = json.loads(Path(f"{service}.spec.json").read_text(encoding="utf-8"))
    end_remains(f"{MARK}={specification['environment'][MARK]}")
    log_to(Path(specification["log"]))
    write_record(Path(f"{service}.json"), specification)
    os.chdir(specification["folder"])
    become(specification)


def become(specification: dict[str, Any]) -> None:
    """Turn into the program, as its user; from now on the end of our parent ends it."""
    if specification["account"]:
        name, uid, gid = specification["account"]
        os.initgroups(name, gid)
        os.setgid(gid)
        os.setuid(uid)
    os.umask(0o077)
    for each in _NOT_IGNORED:
        signal.signal(each, signal.SIG_DFL)
    supervisor = os.getppid()
    number = signal.Signals[f"SIG{specification['signal']}"]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)  # prctl(2): kept by execve, so it is for the service
    if os.getppid() != supervisor:
        os._exit(1)
    user = dict(os.environ)  # noqa: TID251 - nothing of ours is in it
    given = {name: user[name] for name in HANDED_ON if name in user}
    argv = specification["argv"]
    os.execvpe(argv[0], argv, given | specification["environment"])  # noqa: S606 - it is a list


def write_record(place: Path, specification: dict[str, Any]) -> None:
    """Who runs now, what it was made from, and how often it was started since somebody asked for it."""
    before = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    same = before.get("asked") == specification["asked"]
    record = {
        "pid": os.getpid(),
        "started": _stat("self")[_STARTED],
        "digest": specification["digest"],
        "version": specification["version"],
        "asked": specification["asked"],
        "starts": before.get("starts", 0) + 1 if same else 1,
    }
    new = place.with_suffix(".new")
    new.write_text(json.dumps(record), encoding="utf-8")
    new.rename(place)


def end_remains(mark: str) -> None:
    """End what is marked as this service's: a child of one that was killed still holds its port."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in _marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + _PATIENCE_SECONDS
        while _marked(mark) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


def log_to(place: Path) -> None:
    """Send our output, and that of what we become, to a process of its own that writes it down line by line."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork():  # an orphan: the service has no child that it doesn't know
            os._exit(0)
        os.setsid()
        os.close(theirs)
        _silence()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # the service's last words are still to come
        with os.fdopen(ours, "rb") as source:
            write_lines(source, place)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(ours)
    os.dup2(theirs, 1)
    os.dup2(theirs, 2)
    os.close(theirs)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def write_lines(source: IO[bytes], place: Path) -> None:
    """Write each line with its time before it, in UTC; nothing that the log meets stops whoever writes.

    On a full disk lines wait for room: why a service has ended stands in the last ones.
    """
    waiting: deque[bytes] = deque(maxlen=_WAITING_LINES)
    for line in iter(lambda: source.readline(LONGEST_LINE), b""):
        waiting.append(_stamp() + b" " + line.removesuffix(b"\n") + b"\n")
        _write(waiting, place)
    until = time.monotonic() + _ROOM_SECONDS
    while waiting and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        _write(waiting, place)


def _write(waiting: deque[bytes], place: Path) -> None:
    with suppress(OSError):
        while waiting:
            _append(place, waiting[0])
            waiting.popleft()


def _append(place: Path, line: bytes) -> None:
    """Raises OSError where there is no room for all of the line: then nothing of it is there."""
    with place.open("ab", buffering=0) as file:
        begin = file.tell()
        if file.write(line) < len(line):
            file.truncate(begin)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        large = file.tell() >= LOG_BYTES
    if large:
        for number in range(LOG_FILES - 1, 0, -1):
            older = place.with_name(f"{place.name}.{number - 1}") if number > 1 else place
            with suppress(FileNotFoundError):
                older.rename(place.with_name(f"{place.name}.{number}"))


def _stamp() -> bytes:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{rest:09}Z", time.gmtime(seconds)).encode()


def _silence() -> None:
    """Hold nothing of supervisord's open."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def _marked(mark: str) -> list[int]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (place / "environ").read_bytes().split(b"\0") and place.name != str(os.getpid()):
                found.append(int(place.name))
    return [pid for pid in found if _stat(pid)[0] not in "ZX"]


def _stat(pid: int | str) -> list[str]:
    """The fields after the program's name (proc(5), /proc/PID/stat)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X"]


if __name__ == "__main__":
    main(sys.argv[1])
