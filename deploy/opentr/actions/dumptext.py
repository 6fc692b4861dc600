r"""A plain SQL dump as pg_dump writes it: read line by line, and rewritten for a database that belongs to app_owner.

It is for psql, which obeys lines that begin with a backslash. A dump has such lines where its rows end, and around
itself (\restrict), and nowhere else: whatever else there is, a dump doesn't need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER, TRAILER = b"-- PostgreSQL database dump", b"-- PostgreSQL database dump complete"
CLUSTER = b"-- PostgreSQL database cluster dump"
_FROM = re.compile(rb"-- Dumped from database version (\S+)")
_COMMAND = re.compile(rb"\\([a-zA-Z!?;]*)")
_OF_THE_DUMP = frozenset({b"restrict", b"unrestrict"})
_NAME = rb'(?:"(?:[^"]|"")*"|[^\s."(]+)'
_COPY = re.compile(rb"COPY (" + _NAME + rb"(?:\." + _NAME + rb")?) (?:\(.*\) )?FROM stdin;\s*$")
_TOKEN = re.compile(
    rb"--|/\*|(?P<escaping>(?<![A-Za-z0-9_$\x80-\xff])[eE])?'|\"|;|\\"
    rb"|(?<![A-Za-z0-9_$\x80-\xff])(?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)"
)
_ENDS = {
    "'": re.compile(rb"''|'"),
    "E'": re.compile(rb"\\.|''|'", re.DOTALL),
    '"': re.compile(rb'""|"'),
}
_DOUBLED = frozenset({b"''", b'""'})
# Whose it is and who may do what is settled by roles.sql, in the database that it goes into.
_LEFT_OUT = re.compile(
    rb"(?:ALTER .+ OWNER TO .+|GRANT .+|REVOKE .+|ALTER DEFAULT PRIVILEGES .+|(?:RE)?SET SESSION AUTHORIZATION\b.*"
    rb"|DROP SCHEMA IF EXISTS public|CREATE SCHEMA public);\s*$"
)
_GRANTED = re.compile(rb"GRANT .+ TO (.+?)(?: WITH GRANT OPTION)?;\s*$")
_BY_SUPERUSER = re.compile(rb"(?:CREATE|COMMENT ON) EXTENSION .+;\s*$")
OWNER = "app_owner"


class Part(Enum):
    """What a line of a dump is."""

    FIRST = 1
    """a statement, or a comment, begins with it"""
    INSIDE = 2
    """it goes on with a statement"""
    ROW = 3
    """data of a COPY, or its end"""


class Unusable(Exception):
    """Why this dump can't be loaded, and what to do."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


AGAIN = "dump the database again, as in: pg_dump --file=opentranscribe.sql opentranscribe"


@dataclass
class Contents:
    """What is in a plain dump."""

    version: str = ""
    """of the server that it comes from: 15.12"""
    rows: dict[str, int] = field(default_factory=dict)
    """table -> rows, of the tables whose rows it holds as COPY"""
    grantees: set[str] = field(default_factory=set)
    """who was granted something"""
    plain_bytes: int = 0


def examine(lines: Iterable[bytes]) -> Contents:
    """Read all of it. Raises Unusable if it isn't a whole dump of one database, or would have psql do other things."""
    found = Contents()
    begun = complete = False
    table = ""
    count = 0
    for part, line in walk(lines):
        count += 1
        found.plain_bytes += len(line)
        if part is Part.ROW:
            if line.rstrip() != b"\\.":
                found.rows[table] += 1
            continue
        if part is Part.INSIDE:
            continue
        text = line.rstrip()
        if text.startswith(CLUSTER):
            raise Unusable("it is of a whole server (pg_dumpall), and one database is restored", AGAIN)
        begun = begun or text == HEADER
        complete = text == TRAILER or (complete and (not text or text.startswith((b"--", b"\\unrestrict"))))
        if text and not begun and not text.startswith((b"--", b"\\restrict")):
            break
        if copied := _COPY.match(line):
            table = plain_name(copied[1])
            found.rows[table] = found.rows.get(table, 0)
        _note(found, line)
    if not begun:
        raise Unusable("it isn't a dump that pg_dump has made", AGAIN)
    if not complete:
        raise Unusable(f"it ends after line {count:,} without the words of its end: it was cut off", AGAIN)
    return found


def _note(found: Contents, line: bytes) -> None:
    if version := _FROM.match(line):
        found.version = version[1].decode(errors="replace")
    if granted := _GRANTED.match(line):
        found.grantees.add(granted[1].decode(errors="replace").strip('"'))


def rewritten(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The same dump, line for line, for psql in a session whose role is app_owner.

    Owners and grants are left out, and extensions are made as the superuser who logged in.
    """
    for part, line in walk(lines):
        yield _rewritten(line) if part is Part.FIRST else line


def _rewritten(line: bytes) -> bytes:
    if _LEFT_OUT.match(line) or line.startswith(b"\\"):
        return b"\n"
    if _BY_SUPERUSER.match(line):
        return b"RESET ROLE; " + line.rstrip() + f" SET ROLE {OWNER};\n".encode()
    return line


def walk(lines: Iterable[bytes]) -> Iterator[tuple[Part, bytes]]:
    """Each line with what it is. Raises Unusable for a line that psql would take as another order than SQL."""
    inside, fresh, copying = "", True, False
    for number, line in enumerate(lines, 1):
        if copying:
            copying = line.rstrip(b"\r\n") != b"\\."
            yield Part.ROW, line
            continue
        first = not inside and fresh
        if first and line.startswith(b"\\") and (name := _COMMAND.match(line)) and name[1] in _OF_THE_DUMP:
            yield Part.FIRST, line
            continue
        copying = first and _COPY.match(line) is not None
        yield Part.FIRST if first else Part.INSIDE, line
        inside, fresh = _state_after(line, inside, fresh=fresh, number=number)
    if copying or inside:
        raise Unusable("it ends in the middle of its data: it was cut off", AGAIN)


def _state_after(line: bytes, inside: str, *, fresh: bool, number: int) -> tuple[str, bool]:
    """What is open at the line's end (a string, a comment, nothing), and whether a new statement may begin there."""
    place, begun = 0, not fresh
    while place < len(line):
        if inside:
            end, inside = _after(line, place, inside)
            place, begun = end, True
            continue
        token = _TOKEN.search(line, place)
        begun = begun or bool(line[place : token.start() if token else None].strip())
        if token is None or token[0] == b"--":
            break
        place = token.end()
        if token[0] == b"\\":
            raise _order(line, token.start(), number)
        if token[0] == b";":
            begun = False
            continue
        inside = _opened(token)
    return inside, not begun and not inside


def _opened(token: re.Match[bytes]) -> str:
    if token["dollar"]:
        return token["dollar"].decode("latin-1")
    if token["escaping"]:
        return "E'"
    return {b"/*": "*/", b"'": "'", b'"': '"'}[token[0]]


def _after(line: bytes, place: int, inside: str) -> tuple[int, str]:
    """Where what is open ends in this line, and what is open there."""
    if inside in _ENDS:
        while found := _ENDS[inside].search(line, place):
            place = found.end()
            if found[0] not in _DOUBLED and not found[0].startswith(b"\\"):
                return place, ""
        return len(line), inside
    end = line.find(inside.encode("latin-1"), place)
    return (len(line), inside) if end < 0 else (end + len(inside), "")


def _order(line: bytes, start: int, number: int) -> Unusable:
    name = _COMMAND.match(line, start)
    word = name[0].decode(errors="replace") if name else "\\"
    if word in ("\\connect", "\\c"):
        hint = "dump it without --create, as in: pg_dump --file=opentranscribe.sql opentranscribe"
        return Unusable(f"line {number:,} goes to another database ({word}), and one database is restored", hint)
    return Unusable(
        f"line {number:,} has an order for psql that no dump needs: {word}", "look at who made the file; then " + AGAIN
    )


def plain_name(name: bytes) -> str:
    """The name of a table, as schema.table, without the quotes of SQL."""
    parts = re.findall(_NAME, name)
    plain = [part[1:-1].replace(b'""', b'"') if part.startswith(b'"') else part for part in parts]
    return ".".join(part.decode(errors="replace") for part in plain)
