"""What a command found, as text for people (rich tables on a terminal, aligned columns elsewhere) or as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Table:
    """Rows under column names. Numbers are set flush right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Report:
    """A command's result: `data` is what `--json` prints, `parts` what people read, in this order."""

    data: Any
    parts: Sequence[str | Table] = field(default_factory=list)
    exit_code: int = 0


def show(report: Report, *, as_json: bool, stream: TextIO | None = None) -> None:
    """Prints the report to standard output (or `stream`)."""
    stream = stream or sys.stdout
    if as_json:
        stream.write(json.dumps(report.data, indent=2, default=str) + "\n")
        return
    for part in report.parts:
        if isinstance(part, str):
            stream.write(part + "\n")
        elif stream.isatty():
            _show_rich(part, stream)
        else:
            stream.write(plain(part) + "\n")
    stream.flush()


def plain(table: Table) -> str:
    """The table as aligned text without any control codes."""
    cells = [[_cell(value) for value in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *cells, strict=True)]
    right = [_numeric(table, index) for index in range(len(table.columns))]
    lines = [table.title] if table.title else []
    lines += [_line(row, widths, right) for row in (table.columns, *cells)]
    return "\n".join(lines) + "\n"


def _line(row: Iterable[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (
        cell.rjust(width) if flush else cell.ljust(width) for cell, width, flush in zip(row, widths, right, strict=True)
    )
    return "  ".join(cells).rstrip()


def _numeric(table: Table, index: int) -> bool:
    values = [row[index] for row in table.rows if row[index] is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return " ".join(str(value).split())


def _show_rich(table: Table, stream: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(
        title=table.title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for index, name in enumerate(table.columns):
        drawn.add_column(name, justify="right" if _numeric(table, index) else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    Console(file=stream).print(drawn)
