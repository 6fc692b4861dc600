"""Secrets blotted out of what is shown: the values that we know, and whatever has the shape of one.

Each pattern takes linear time, also over a line of a megabyte that was written to make it slow: repeats are bounded.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REDACTED = "[REDACTED]"
SHORTEST = 6
"""Characters. A known value that is shorter can't be told from an ordinary word."""
_DEEPEST = 8

# Quotes inside are escaped by a backslash (libpq, JSON) or doubled (SQL). A quote that isn't closed was cut off.
_QUOTED = r"'(?:[^'\\]|\\.|''){0,4096}'?|\"(?:[^\"\\]|\\.|\"\"){0,4096}\"?"
_NAME_END = r"\w{0,32}\\?['\"]?\s{0,4}"

_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # Up to the last @ that can be meant, because a password may hold one; where that is too much, a host goes too.
    (("://",), re.compile(r"(://[^:/?#@\s]{0,128}:)[^\s\"'<>]{1,256}(?=@)"), rf"\1{REDACTED}"),
    (
        ("password", "passwd", "secret"),
        re.compile(rf"(?i)((?:password|passwd|secret){_NAME_END}[=:]\s{{0,4}})(?:{_QUOTED}|\S{{1,4096}})"),
        rf"\1{REDACTED}",
    ),
    # No `token: ...` without quotes: so parsers say what they didn't expect.
    (
        ("token",),
        re.compile(
            rf"(?i)(token\w{{0,32}}(?:\s{{0,4}}=|\\?['\"]\s{{0,4}}[=:])\s{{0,4}})(?:{_QUOTED}|[^\s,;&}}]{{1,4096}})"
        ),
        rf"\1{REDACTED}",
    ),
    # ALTER ROLE ... PASSWORD '...', which Postgres repeats under STATEMENT.
    (("password",), re.compile(r"(?i)(\bpassword\s{1,8})(?:e|u&)?'(?:[^'\\]|\\.|''){0,4096}'?"), rf"\1{REDACTED}"),
    (("scram-sha-256$",), re.compile(r"(SCRAM-SHA-256\$)[\w:$+/=]{1,512}"), rf"\1{REDACTED}"),
    (("md5",), re.compile(r"\bmd5[0-9a-f]{32}\b"), REDACTED),
    (
        ("$argon2", "$2"),
        re.compile(r"\$(?:argon2(?:id|i|d)\$[\w$=,+/.-]{1,512}|2[abxy]\$\d\d\$[./A-Za-z0-9]{53})"),
        REDACTED,
    ),
    (
        ("authorization",),
        re.compile(
            rf"(?i)(authorization\\?['\"]?\s{{0,4}}[=:]\s{{0,4}})(?:{_QUOTED}|(?:\w{{1,32}}[^\S\n]{{1,4}})?\S{{1,8192}})"
        ),
        rf"\1{REDACTED}",
    ),
    (("bearer", "basic"), re.compile(r"(?i)(\b(?:bearer|basic)\s{1,4})(?=\S{16})\S{16,8192}"), rf"\1{REDACTED}"),
    (("eyj",), re.compile(r"(?<![\w-])eyJ[\w-]{8,8192}\.[\w-]{2,8192}\.[\w-]{0,1024}"), REDACTED),
    (("private key",), re.compile(r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----)[^-]{0,16384}"), rf"\1{REDACTED}"),
)
"""Words of which one must be there (in small letters: most lines cost next to nothing), pattern, replacement."""
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|authorization|api_?key")


def redacted(text: str) -> str:
    """The text with everything blotted out that has the shape of a secret."""
    small = text.lower()
    for words, pattern, instead in _PATTERNS:
        if any(word in small for word in words):
            text = pattern.sub(instead, text)
    return text


class Redactor:
    """Blots out these values, as they are and as URLs and JSON write them, and what has the shape of a secret."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        written = {form for value in values for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
        self._values = sorted((form for form in written if len(form) >= SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, REDACTED)
        return redacted(text)

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The data without secrets: a field that is named like one loses its whole value."""
        return {self.text(name): self._value(name, value, 0) for name, value in fields.items()}

    def _value(self, name: str, value: object, depth: int) -> object:
        if isinstance(value, bool | int | float | None):
            return value
        if _SECRET_NAME.search(name):
            return REDACTED
        if depth > _DEEPEST or isinstance(value, str):
            return self.text(value if isinstance(value, str) else "…")
        if isinstance(value, dict):
            return {self.text(str(key)): self._value(str(key), each, depth + 1) for key, each in value.items()}
        return (
            [self._value("", each, depth + 1) for each in value] if isinstance(value, list) else self.text(str(value))
        )
