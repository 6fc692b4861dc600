"""Log lines on standard output, as JSON or text: ours and the libraries', each with the request or task it belongs to.

Passwords and tokens are blotted out in every line, wherever they stand.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from structlog.typing import Processor

REDACTED = "[REDACTED]"
# Up to the last @ that can be meant, because a password may hold one, and blanks (SQLAlchemy leaves them) or slashes;
# where that is too much, a host's name is blotted out as well.
_URL_PASSWORD = re.compile(r"(://[^:/?#@\s]*:)(?:[^/\n]*|\S*)(?=@)")
# Quotes inside are escaped by a backslash (libpq, JSON) or doubled (SQL). What isn't quoted ends at a blank: a password
# may hold any other sign, so what is joined to it by `&` or `,` is blotted out as well.
_QUOTED = r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\""
_NAMED_PASSWORD = re.compile(rf"(?i)(\b\w*(?:password|passwd|secret)\w*['\"]?\s*[=:]\s*)({_QUOTED}|(?:\\.|\S)+)")
# No `token: ...` without quotes: so parsers say what they didn't expect.
_NAMED_TOKEN = re.compile(rf"(?i)(\b\w*token(?:\s*=|['\"]\s*[=:])\s*)({_QUOTED}|[^\s,;&}}]+)")
_AUTHORIZATION = re.compile(
    rf"(?i)(\bauthorization['\"]?\s*[=:]\s*|\bbearer\s+(?=\S{{16}}))({_QUOTED}|(?:\w+[^\S\n]+)?\S+)"
)
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|authorization")


def redacted(text: str) -> str:
    """The text with secrets in URLs (`//user:...@`), settings (`password=...`, `token=...`) and headers blotted out."""
    for pattern in (_URL_PASSWORD, _NAMED_PASSWORD, _NAMED_TOKEN, _AUTHORIZATION):
        text = pattern.sub(rf"\1{REDACTED}", text)
    return text


@contextmanager
def bound(*, request_id: str | None = None, task_id: str | None = None) -> Iterator[None]:
    """Within it, every line of this thread or coroutine carries these ids."""
    ids = {name: value for name, value in {"request_id": request_id, "task_id": task_id}.items() if value is not None}
    with structlog.contextvars.bound_contextvars(**ids):
        yield


def configure(level: str = "INFO", line_format: str = "json", stream: TextIO | None = None) -> None:
    """Sends all lines from `level` up to `stream` (standard output), one format for all: `json` or `text`."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter(line_format))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)


def formatter(line_format: str = "json") -> logging.Formatter:
    """What makes our lines of log records; `backend/uvicorn.json` names it, for what uvicorn says before it has us."""
    render: Processor = structlog.processors.JSONRenderer(default=str) if line_format == "json" else _text_renderer()
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _redact,
            render,
        ],
    )


def _text_renderer() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)


def _redact(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: REDACTED if _SECRET_NAME.search(name) else _redact_value(value) for name, value in line.items()}


def _redact_value(value: object) -> object:
    match value:
        case str():
            return redacted(value)
        case dict():
            return {
                name: REDACTED if _SECRET_NAME.search(str(name)) else _redact_value(item)
                for name, item in value.items()
            }
        case list() | tuple() | set():
            return [_redact_value(item) for item in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return redacted(str(value))


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

# Ours go through the standard library's loggers too. Until `configure` is called they end where its lines end: from
# warnings up on standard error, so that no command's output is spoilt.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
