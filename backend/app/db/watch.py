"""Watching statements: slow ones are logged, and tests count them.

What is logged is the statement's shape: its literals are blotted out and its parameters are never looked at, so no
value of a user gets into a log.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import event

import app.core.logging  # noqa: F401 - configures structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import ExceptionContext

_STATEMENT_CHARACTERS = 2000
_TOKENS = re.compile(
    r"""
    (?P<keep>"(?:[^"]|"")*"|%\(\w+\)s)                       # identifiers, placeholders
    | (?P<drop>--[^\n]*|/\*.*?(?:\*/|\Z))                    # comments
    | (?P<blot>
        \b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)                    # a string with escapes
        | (?:\b(?:[bBxXnN]|[uU]&))?'(?:[^']|'')*(?:'|\Z)     # a string
        | \$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)     # a dollar-quoted one
        | (?<![\w$.])(?:\d[\w.]*|\.\d\w*)(?:(?<=[eE])[+-]\d+)?  # a number
      )
    """,
    re.VERBOSE | re.DOTALL,
)
_log = structlog.stdlib.get_logger("app.db.watch")


@dataclass
class StatementCount:
    """The statements that were executed while it counted, in order."""

    statements: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.statements)

    def repeated(self) -> dict[str, int]:
        """Statements that were executed more than once, with how often: an N+1 shows itself here."""
        return {statement: times for statement, times in Counter(self.statements).items() if times > 1}


def redact(statement: str) -> str:
    """The statement without its literals (`?` in their place) and comments, on one line, cut at 2000 characters."""
    blotted = _TOKENS.sub(lambda found: found["keep"] or (" " if found["drop"] else "?"), statement)
    return " ".join(blotted.split())[:_STATEMENT_CHARACTERS]


def watch(engine: Engine, slow_ms: float) -> None:
    """Logs the engine's statements that take `slow_ms` milliseconds or longer, failed ones too; 0 watches nothing."""
    if not slow_ms:
        return
    slow_seconds = slow_ms / 1000

    @event.listens_for(engine, "before_cursor_execute")
    def _start(_c: Connection, _cursor: object, _s: str, _p: object, context: Any, _many: bool) -> None:  # noqa: ANN401, FBT001
        context.watch_started = time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def _end(_c: Connection, cursor: Any, statement: str, _p: object, context: Any, _many: bool) -> None:  # noqa: ANN401, FBT001
        seconds = time.perf_counter() - context.watch_started
        if seconds >= slow_seconds:
            _report(statement, seconds, cursor.rowcount)

    @event.listens_for(engine, "handle_error")
    def _failure(failure: ExceptionContext) -> None:
        started = getattr(failure.execution_context, "watch_started", None)
        if started is not None and time.perf_counter() - started >= slow_seconds:
            _report(failure.statement or "", time.perf_counter() - started, None, failure.original_exception)


@contextmanager
def count_statements(engine: Engine) -> Iterator[StatementCount]:
    """Counts the engine's statements in all threads while it is open. For tests."""
    count = StatementCount()

    def add(_c: Connection, _cursor: object, statement: str, _p: object, _context: object, _many: bool) -> None:  # noqa: FBT001
        count.statements.append(statement)

    event.listen(engine, "before_cursor_execute", add)
    try:
        yield count
    finally:
        event.remove(engine, "before_cursor_execute", add)


def _report(statement: str, seconds: float, rows: int | None, failure: BaseException | None = None) -> None:
    words: dict[str, object] = {"duration_ms": round(seconds * 1000, 1), "rows": rows, "statement": redact(statement)}
    if failure is not None:  # its text may quote values; its class and SQLSTATE don't
        words |= {"error": type(failure).__name__, "sqlstate": getattr(failure, "pgcode", None)}
    _log.warning("slow statement", **words)
