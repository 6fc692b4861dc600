"""A logical dump in a file: what it is, and whether it is whole, before anything is done with it."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, cast

from opentr import ui
from opentr.actions import dumptext
from opentr.errors.restore import DumpUnusable
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Form = Literal["custom", "plain"]
_GZIP, _CUSTOM, _TAR = b"\x1f\x8b", b"PGDMP", b"toc.dat\x00"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FIRST_BYTES = 512
_LINES_SHOWN = 50_000
_PIECE_BYTES = 1 << 20
_INDEXED, _GROWTH = 3, 8
"""What a plain and a compressed dump are taken to grow to, as a disk that fills up stops Postgres. Eight million
segments, 0.8 GB of text, take 2.05 GB with their indexes; speech shrinks to a third, rows of numbers to less."""


@dataclass(frozen=True)
class DumpFile:
    """A dump that can be loaded."""

    path: Path
    form: Form
    compressed: bool
    """by gzip, around what it is"""
    bytes: int
    """of the file"""
    version: str
    """of the server that it comes from; empty where it doesn't say"""
    rows: dict[str, int] | None
    """table -> rows that it must give; None where it doesn't say"""
    grantees: tuple[str, ...]
    """the roles that were granted something there, sorted"""
    needs_bytes: int
    """about the room that its database takes"""
    generation: str = ""
    """the token of the generation that it was made from; empty where it doesn't say"""

    def __str__(self) -> str:
        source = f", from PostgreSQL {self.version}" if self.version else ""
        return f"{self.path} ({size(self.bytes)}{source})"


def examine(path: Path) -> DumpFile:
    """Look at all of the file. Raises DumpUnusable with what is wrong with it."""
    try:
        with path.open("rb") as file:
            return _examined(path, file)
    except IsADirectoryError:
        hint = "name a file: a dump in a folder (pg_dump --format=directory) can't be read through a pipe"
        raise DumpUnusable(path, "it is a folder", hint) from None
    except OSError as error:
        raise DumpUnusable(path, error.strerror or str(error), "correct its name or its rights") from error
    except dumptext.Unusable as fault:
        raise DumpUnusable(path, fault.reason, fault.hint) from fault


def _examined(path: Path, file: IO[bytes]) -> DumpFile:
    total = os.fstat(file.fileno()).st_size
    compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    with _below(file, compressed=compressed) as text, _damage_told():
        first = _sure(path, text.read(_FIRST_BYTES))
        text.seek(0)
        if first.startswith(_CUSTOM):
            return _custom(path, total, compressed=compressed)
        with ui.step(f"read {path.name}"):
            found = dumptext.examine(_shown(text, file, total))
    names = tuple(sorted(found.grantees))
    needed = found.plain_bytes * _INDEXED
    return DumpFile(path, "plain", compressed, total, found.version, found.rows or None, names, needed)


def _sure(path: Path, first: bytes) -> bytes:
    """The first bytes of what can be a dump. Raises DumpUnusable."""
    if not first:
        raise DumpUnusable(path, "it is empty", dumptext.AGAIN)
    if first.startswith(_UTF16):
        hint = f"PowerShell writes > so, and pg_dump itself doesn't: {dumptext.AGAIN}"
        raise DumpUnusable(path, "it is text in UTF-16, which Postgres can't read", hint)
    if first.startswith(_TAR):
        hint = "dump it as text, or with --format=custom; pg_restore --file=dump.sql makes text of this one"
        raise DumpUnusable(path, "it is a dump in tar's format", hint)
    if b"\x00" in first and not first.startswith(_CUSTOM):
        raise DumpUnusable(path, "it isn't a dump: it holds neither SQL nor pg_dump's own format", dumptext.AGAIN)
    return first


def _custom(path: Path, total: int, *, compressed: bool) -> DumpFile:
    receipt = _receipt(path)
    if receipt.get("bytes") != total:
        receipt = {}
    of = receipt.get("generation", "")
    return DumpFile(path, "custom", compressed, total, "", receipt.get("rows"), (), total * _GROWTH, generation=of)


def _receipt(path: Path) -> dict[str, Any]:
    """What stands beside a dump of ours; nothing where nothing does, or where it isn't a receipt."""
    try:
        found = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def pieces(dump: DumpFile) -> Iterator[bytes]:
    """What goes to psql, or to pg_restore, bit by bit, with progress. Raises Unusable if it can't be read any more."""
    with dump.path.open("rb") as file, _below(file, compressed=dump.compressed) as text, _damage_told():
        if dump.form == "plain":
            yield from dumptext.rewritten(_shown(text, file, dump.bytes))
            return
        while piece := text.read(_PIECE_BYTES):
            _show(file, dump.bytes)
            yield piece


def _below(file: IO[bytes], *, compressed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if compressed else file


def _shown(text: IO[bytes], file: IO[bytes], total: int) -> Iterator[bytes]:
    for number, line in enumerate(text):
        if number % _LINES_SHOWN == 0:
            _show(file, total)
        yield line


def _show(file: IO[bytes], total: int) -> None:
    ui.show(f"{size(file.tell())} of {size(total)}")


@contextmanager
def _damage_told() -> Iterator[None]:
    """Raises Unusable where gzip finds that the file isn't whole."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise dumptext.Unusable(f"gzip can't read it to its end: {error}", "take another copy of the file") from error
