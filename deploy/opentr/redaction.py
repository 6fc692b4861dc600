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
_IS = r"\w{0,32}\\?['\"]?\s{0,4}[=:]\s{0,4}"

# Up to the last @ that can be meant, because a password may hold one; where that is too much, a host goes too.
_IN_URL = r"(://[^:/?#@\s]{0,128}:)[^\s\"'<>]{1,256}(?=@)"
_NAMED = rf"(?i)((?:password|passwd|secret){_IS})(?:{_QUOTED}|\S{{1,4096}})"
# No `token: ...` without quotes: so parsers say what they didn't expect.
_TOKEN = rf"(?i)(token\w{{0,32}}(?:\s{{0,4}}=|\\?['\"]\s{{0,4}}[=:])\s{{0,4}})(?:{_QUOTED}|[^\s,;&}}]{{1,4096}})"
_HEADER = rf"(?i)(authorization{_IS})(?:{_QUOTED}|(?:\w{{1,32}}[^\S\n]{{1,4}})?\S{{1,8192}})"
_BEARER = r"(?i)(\b(?:bearer|basic)\s{1,4})(?=\S{16})\S{16,8192}"

_PATTERNS = [
    (word, re.compile(pattern))
    for word, pattern in (
        ("://", _IN_URL),
        ("password", _NAMED),
        ("passwd", _NAMED),
        ("secret", _NAMED),
        # ALTER ROLE ... PASSWORD '...', which Postgres repeats under STATEMENT.
        ("password", r"(?i)(\bpassword\s{1,8})(?:e|u&)?'(?:[^'\\]|\\.|''){0,4096}'?"),
        ("token", _TOKEN),
        ("authorization", _HEADER),
        ("bearer", _BEARER),
        ("basic", _BEARER),
        # JSON Web Tokens (RFC 7519), keys (RFC 7468), and passwords as servers keep them.
        ("eyj", r"()(?<![\w-])eyJ[\w-]{8,8192}\.[\w-]{2,8192}\.[\w-]{0,1024}"),
        ("private key", r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----)[^-]{0,16384}"),
        ("scram-sha-256$", r"(SCRAM-SHA-256\$)[\w:$+/=]{1,512}"),
        ("md5", r"()\bmd5[0-9a-f]{32}\b"),
        ("$argon2", r"()\$argon2(?:id|i|d)\$[\w$=,+/.-]{1,512}"),
        ("$2", r"()\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}"),
    )
]
"""What group 1 matches stays. The word must be in the text, in small letters: so most lines cost next to nothing."""
_SECRET_NAME = re.compile(r"(?i)password|passwd|secret|token|authorization|api_?key")


def redacted(text: str) -> str:
    """The text with everything blotted out that has the shape of a secret."""
    small = text.lower()
    for word, pattern in _PATTERNS:
        if word in small:
            text = pattern.sub(rf"\1{REDACTED}", text)
    return text


class Redactor:
    """Blots out these values, as they are and as URLs and JSON write them, and what has the shape of a secret."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        written = {form for value in values for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
        self._values = sorted((form for form in written if len(form) >= SHORTEST), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            if value in text:
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
