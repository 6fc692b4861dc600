"""`./opentr.sh db inspect`: the state of a database, section by section, and what in it deserves attention.

It changes nothing: each section is asked in a read-only transaction of its own, with limits on time and on waiting for
locks that end with it, so that it may go through a transaction pooler. A section that fails says so; the others go on.

`--json` prints one object:

    address       where, without secrets
    role          whose rights counted
    sections      by name: level (ok, notice, warning); problem (null, or why there are no rows); rows, as described in
                  database/queries/inspect_<section>.sql; ages in seconds, sizes in bytes
    findings      what deserves attention, warnings first: section, subject, level, reason
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.db import command, connect
from app.db.findings import Level, Limits
from app.db.report import Report, Table
from app.db.sections import NAMES, SECTIONS, Row, Section

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Collection

    from sqlalchemy import URL, Connection

APPLICATION_NAME = "opentr inspect"
_SHOWN_ROWS = 30
_MARKS = {Level.OK: "", Level.NOTICE: "!", Level.WARNING: "!!"}
_TIMED_OUT, _LOCKED, _FORBIDDEN = "57014", "55P03", "42501"  # PostgreSQL, Appendix A
_BEGIN = text("""
SELECT set_config(name, least(nullif(setting::bigint, 0), wanted)::text, true)
FROM pg_settings
JOIN (VALUES ('statement_timeout', :statement), ('lock_timeout', :lock)) AS w (name, wanted) USING (name)
UNION ALL
SELECT set_config('role', 'none', true)
WHERE pg_has_role(session_user, 'pg_read_all_stats', 'USAGE') AND NOT pg_has_role('pg_read_all_stats', 'USAGE')
""")
"""For one transaction: our limits, unless the role's own are shorter; and the rights of the role that logged in where
those show more than the role that its settings switch to (app_migrator acts as app_owner)."""


@dataclass(frozen=True)
class Finding:
    """Something that deserves attention."""

    section: str
    subject: str
    level: Level
    reason: str


@dataclass
class Result:
    """What came of one section. `problem` says why there are no rows."""

    section: Section
    rows: list[Row] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    problem: str | None = None

    @property
    def level(self) -> Level:
        """The highest of its findings."""
        return max((finding.level for finding in self.findings), default=Level.OK)


@dataclass(frozen=True)
class Inspection:
    """The state of one database."""

    address: str
    role: str
    results: list[Result]

    @property
    def findings(self) -> list[Finding]:
        """All findings, warnings first, else in the sections' order."""
        everything = [finding for result in self.results for finding in result.findings]
        return sorted(everything, key=lambda finding: -finding.level)


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("inspect", "Show a database's state, and what in it deserves attention. Changes nothing.")
    only = f"only these sections: {', '.join(NAMES)}"
    words.add_argument("--section", metavar="NAME", nargs="+", choices=NAMES, default=NAMES, help=only)
    return words


def act(args: Namespace) -> Report:
    """Inspects the database of the arguments."""
    return report(inspect(command.migrator_url(args), args.section))


def inspect(url: URL, names: Collection[str] = NAMES, limits: Limits | None = None) -> Inspection:
    """Asks and judges the sections of these names.

    Raises `ServerUnreachable`, `LoginRefused`, `DatabaseMissing`; what fails in one section is its `problem`.
    """
    limits = limits or Limits()
    engine = connect.engine_for(url, application_name=APPLICATION_NAME, poolclass=NullPool)
    try:
        with connect.translated(url), engine.connect() as connection:
            connection.execution_options(postgresql_readonly=True)
            role = _role(connection, limits)
            results = [_examine(connection, section, limits, role) for section in SECTIONS if section.name in names]
    finally:
        engine.dispose()
    return Inspection(connect.describe(url), role, results)


def _begin(connection: Connection, limits: Limits) -> None:
    milliseconds = {"statement": limits.statement_seconds, "lock": limits.lock_seconds}
    connection.execute(_BEGIN, {name: int(1000 * seconds) for name, seconds in milliseconds.items()})


def _role(connection: Connection, limits: Limits) -> str:
    with connection.begin():
        _begin(connection, limits)
        return str(connection.execute(text("SELECT current_user")).scalar_one())


def _examine(connection: Connection, section: Section, limits: Limits, role: str) -> Result:
    """One section in a transaction of its own. Raises only when the connection is lost."""
    result = Result(section)
    try:
        with connection.begin():
            _begin(connection, limits)
            result.rows = section.rows(connection, limits)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        result.problem = _problem(error, limits, role)
        result.findings = [Finding(section.name, "the section itself", Level.WARNING, result.problem)]
        return result
    _judge(result, limits, role)
    return result


def _problem(error: DBAPIError, limits: Limits, role: str) -> str:
    code = str(getattr(error.orig, "pgcode", None))
    said = str(error.orig).strip().splitlines()[0]
    words = {
        _TIMED_OUT: f"timed out: longer than {limits.statement_seconds:g} s, or than the role's statement_timeout",
        _LOCKED: f"waited {limits.lock_seconds:g} s for a lock that another session holds, and gave up",
        _FORBIDDEN: f"the role {role} may not see this: {said}",
    }
    return words.get(code, said)


def _judge(result: Result, limits: Limits, role: str) -> None:
    section = result.section
    for row in result.rows:
        remark = section.judge(row, limits)
        result.levels.append(remark.level if remark else Level.OK)
        if remark:
            result.findings.append(Finding(section.name, section.subject(row), remark.level, remark.reason))
    hidden = sum(bool(row.get("hidden")) for row in result.rows)
    if hidden:
        reason = (
            f"{_number(hidden, 'row')} hidden from this role; a superuser may type: {section.grant.format(role=role)}"
        )
        result.findings.append(Finding(section.name, role, Level.NOTICE, reason))


def report(inspection: Inspection) -> Report:
    """The inspection as data and as text."""
    parts: list[str | Table] = [f"{inspection.address}, seen with the rights of {inspection.role}", ""]
    for result in inspection.results:
        parts += [_shown(result), *_more(result)]
    return Report(_data(inspection), [*parts, *_summary(inspection.findings)])


def _data(inspection: Inspection) -> dict[str, Any]:
    return {
        "address": inspection.address,
        "role": inspection.role,
        "sections": {
            result.section.name: {"level": str(result.level), "problem": result.problem, "rows": result.rows}
            for result in inspection.results
        },
        "findings": [asdict(finding) | {"level": str(finding.level)} for finding in inspection.findings],
    }


def _shown(result: Result) -> str | Table:
    """The section's first rows, each with its mark; a line where there are none."""
    section = result.section
    if result.problem or not result.rows:
        return f"{section.title}: {result.problem or section.empty}\n"
    rows = [
        (_MARKS[level], *(cell(row) for cell in section.columns.values()))
        for row, level in zip(result.rows[:_SHOWN_ROWS], result.levels, strict=False)
    ]
    return Table(section.title, ("", *section.columns), rows)


def _more(result: Result) -> list[str]:
    left_out = len(result.rows) - _SHOWN_ROWS
    return [f"and {left_out} more; --json lists them all\n"] if left_out > 0 else []


def _summary(findings: list[Finding]) -> list[str | Table]:
    if not findings:
        return ["Nothing deserves attention."]
    warnings = sum(finding.level is Level.WARNING for finding in findings)
    title = (
        f"Deserves attention: {_number(warnings, 'warning')} (!!), {_number(len(findings) - warnings, 'notice')} (!)"
    )
    rows = [(str(finding.level), finding.section, finding.subject, finding.reason) for finding in findings]
    return [Table(title, ("level", "section", "what", "why"), rows)]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


if __name__ == "__main__":
    command.main(parser(), act)
