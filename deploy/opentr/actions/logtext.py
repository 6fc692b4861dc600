"""What a line of a service's log says: its level, its message, its fields, and whether it goes on with the line before.

Each service writes in a format of its own; here is one function for each. Nothing is trusted: what a line holds was
perhaps written by somebody who wants to reach the terminal of whoever reads it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LEVELS = ("debug", "info", "warning", "error", "critical")
"""From the least on. A line whose level isn't known counts as info."""


@dataclass(frozen=True)
class Head:
    """The first line of an entry."""

    level: str | None
    message: str
    fields: dict[str, Any] = field(default_factory=dict)
    then: str = ""
    """what may follow, for `parse` to know when it reads the next line: see `_python`"""


@dataclass(frozen=True)
class More:
    """A further line of the entry before."""

    text: str
    then: str = ""


Parsed = Head | More

# CSI and OSC sequences and other escapes (ECMA-48), whole: colours of a service's own log aren't ours.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\)|\x1b[ -/]{0,8}[0-Z\\^-~]"
)
# What could move the cursor, turn text round or break a line: controls, bidirectional marks, separators, surrogates.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def clean(text: str) -> str:
    """The text with nothing in it that a terminal obeys: sequences are dropped, other controls shown as numbers."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(_escaped, _ESCAPE.sub("", text.removesuffix("\r")))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def parse(service: str, text: str, after: str = "") -> Parsed:
    """The line in the format of this service; `after` is the `then` of the line before, if it was just now."""
    reader = _FORMATS.get(service)
    return reader(clean(text)) if reader else _python(clean(text), after)


# Any service: what isn't in its format was written by a script around it, or by something that went wrong.

_ALARMING = re.compile(
    r"(?i)\b(?:error|fatal|panic|failed|failure|cannot|can't|killed|segmentation fault|out of memory|permission denied"
    r"|no such file|not found|no space left)\b"
)


def _plain(text: str) -> Parsed:
    if not text or text[0] in " \t":
        return More(text)
    return Head("error" if _ALARMING.search(text[:4096]) else None, text)


# Postgres: log_line_prefix '%m [%p] %q%u@%d/%a %h ' (templates/config/postgres/postgresql.conf.j2). What follows a line
# break begins with a tab (elog.c: append_with_tabs).

_POSTGRES = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \S{1,40} \[(?P<pid>\d+)\] "
    r"(?:(?P<user>[^@\s]{0,63})@(?P<database>[^/\s]{0,63})/(?P<application>.{0,63}?) (?P<client>\S{1,255}) )?"
    r"(?P<severity>[A-Z]{3,9}\d?):  (?P<message>.*)"
)
_SEVERITIES = {
    **dict.fromkeys(("DEBUG", "DEBUG1", "DEBUG2", "DEBUG3", "DEBUG4", "DEBUG5"), "debug"),
    **dict.fromkeys(("LOG", "INFO", "NOTICE"), "info"),
    "WARNING": "warning",
    "ERROR": "error",
    "FATAL": "error",
    "PANIC": "critical",
}
_ABOUT = {"DETAIL", "HINT", "QUERY", "CONTEXT", "LOCATION", "STATEMENT", "BACKTRACE"}


def _postgres(text: str) -> Parsed:
    found = _POSTGRES.match(text)
    if not found:
        return _plain(text)
    severity, message = found["severity"], found["message"]
    if severity in _ABOUT:
        return More(f"{severity}:  {message}")
    named = {name: found[name] for name in ("user", "database", "application", "client") if found[name]}
    fields = {name: value for name, value in named.items() if value not in ("[unknown]", "[local]")}
    return Head(_SEVERITIES.get(severity), message, {"pid": int(found["pid"]), **fields})


# PgBouncer, to stderr: time [pid] LEVEL message; line breaks are followed by a tab (libusual's logging.c).

_PGBOUNCER = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \S{1,40} \[(\d+)\] (NOISE|DEBUG|LOG|WARNING|ERROR|FATAL) (.*)"
)
_POOL_LEVELS = {
    "NOISE": "debug",
    "DEBUG": "debug",
    "LOG": "info",
    "WARNING": "warning",
    "ERROR": "error",
    "FATAL": "critical",
}


def _pgbouncer(text: str) -> Parsed:
    found = _PGBOUNCER.match(text)
    return Head(_POOL_LEVELS[found[2]], found[3]) if found else _plain(text)


# Redis: pid:role time mark message (server.c: serverLogRaw). What has no such begin is raw: a crash report goes on, and
# the report of a wrong configuration begins with three stars.

_REDIS = re.compile(r"\d+:[XCSM] \d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3} ([.*#-]) (.*)")
_REDIS_SIGNAL = re.compile(r"\d+:signal-handler \(\d+\) (.*)")
_MARKS = {".": "debug", "-": "debug", "*": "info", "#": "warning"}


def _redis(text: str) -> Parsed:
    if found := _REDIS.match(text):
        return Head(_MARKS[found[1]], found[2])
    if found := _REDIS_SIGNAL.match(text):
        return Head("info", found[1])
    if text.startswith("***"):
        return Head("error", text)
    return More(text)


# HAProxy, `log stdout format short`: <severity of syslog> message, for requests a JSON object. What it says while
# it starts is [NOTICE]   (pid) : message.

_PRIORITY = re.compile(r"<([0-7])>(.*)")
_SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_STARTING = re.compile(r"\[(NOTICE|WARNING|ALERT)\]\s{1,8}(?:\S{1,20}\s)?\(\d+\) : (.*)")
_STARTING_LEVELS = {"NOTICE": "info", "WARNING": "warning", "ALERT": "critical"}
_SERVER_ERROR = 500


def _proxy(text: str) -> Parsed:
    if found := _STARTING.match(text):
        return Head(_STARTING_LEVELS[found[1]], found[2])
    priority = _PRIORITY.match(text)
    level, rest = (_SYSLOG[int(priority[1])], priority[2]) if priority else (None, text)
    request = _json(rest)
    if request:
        status = request.fields.get("status")
        failed = isinstance(status, int) and status >= _SERVER_ERROR
        return Head("error" if failed else request.level or level, request.message, request.fields)
    return Head(level, rest) if priority else _plain(text)


# Ours: JSON lines (app/core/logging.py). Before these are set up, and from libraries: uvicorn's and Celery's text,
# warnings, tracebacks.

_UVICORN = re.compile(r"(TRACE|DEBUG|INFO|WARNING|ERROR|CRITICAL):\s{1,8}(.*)")
_CELERY = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: (DEBUG|INFO|WARNING|ERROR|CRITICAL)/([\w-]{1,64})\] (.*)"
)
_PY_WARNING = re.compile(r"\S{1,512}:\d+: \w{0,64}Warning: ")
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("The above exception was the direct cause of", "During handling of the above exception, another")
_ALARMED = {"warning", "error", "critical"}


def _python(text: str, after: str) -> Parsed:
    """Tracebacks have no mark of their end: their last line is the first that isn't indented.

    Hence `then`: "inside" a traceback, "traceback" may follow as a part of this entry, or neither.
    """
    if text.startswith(_TRACEBACK):
        return More(text, "inside") if after == "traceback" else Head("error", text, then="inside")
    if text.startswith(_CHAINED):
        return More(text, "traceback")
    if not text or text[0] in " \t":
        return More(text, after)
    if head := _json(text) or _library(text):
        return replace(head, then="traceback") if head.level in _ALARMED else head
    return More(text) if after == "inside" else _plain(text)


def _library(text: str) -> Head | None:
    """A line as uvicorn, Celery or the warnings module write it."""
    if found := _UVICORN.match(text):
        return Head(_python_level(found[1]), found[2])
    if found := _CELERY.match(text):
        return Head(_python_level(found[1]), found[3], {"process": found[2]})
    return Head("warning", text) if _PY_WARNING.match(text) else None


def _python_level(name: object) -> str | None:
    level = str(name).lower()
    level = {"warn": "warning", "fatal": "critical", "trace": "debug", "exception": "error", "notice": "info"}.get(
        level, level
    )
    return level if level in LEVELS else None


def _json(text: str) -> Head | None:
    """A JSON object with a message; None for anything else."""
    if not text.startswith("{"):
        return None
    try:
        found = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    name = "event" if "event" in found else "message"
    message = found.pop(name, None)
    if not isinstance(message, str):
        return None
    level = _python_level(found.pop("level", None))
    found.pop("timestamp", None)
    return Head(level, clean(message), {clean(name): _clean_value(value, 0) for name, value in found.items()})


_DEEPEST = 8


def _clean_value(value: object, depth: int) -> object:
    """As `clean`, of data: JSON can hide controls. What is nested too deeply is left out."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict | list) and depth > _DEEPEST:
        return "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {clean(name): _clean_value(each, depth + 1) for name, each in value.items()}
    return [_clean_value(each, depth + 1) for each in value] if isinstance(value, list) else value


_FORMATS: dict[str, Callable[[str], Parsed]] = {
    "postgres": _postgres,
    "pgbouncer": _pgbouncer,
    "redis": _redis,
    "proxy": _proxy,
}
