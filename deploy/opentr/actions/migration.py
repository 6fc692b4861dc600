"""The app's own migrator, in a candidate's image: what it would do, and doing it.

Locks, budget and retries are its business (backend/app/db/migrator.py): 2 s for a lock, again after a pause, and it
names who is in its way. What it says is shown as it says it; how it ended is carried on in its own words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentr import ui
from opentr.errors import ProcessFailed
from opentr.errors.deploy import MigrationInProgress, MigrationStopped
from opentr.server import hazards, tables
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.runtimes.base import Runtime

MIGRATE = ["python", "-m", "app.db.migrate"]
_SERVICE = "migrate"
_DONE = re.compile(r"to (?P<revision>\S+) \(.*\) in ")
_MARK = "=== opentr: "
_ROW_CHANGE = re.compile(
    r"^\s*(?P<verb>UPDATE|DELETE\s+FROM|INSERT\s+INTO|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:ONLY\s+)?(?P<table>[\w.\"]+)",
    re.MULTILINE | re.IGNORECASE,
)
_BOOKKEEPING = ("alembic_version", "schema_release")
"""What each revision writes about itself."""
# One container for all questions: each costs a second.
_CURRENT = f"""
ask() {{ echo "{_MARK}$1"; shift; "$@" || echo "{_MARK}code $?"; }}
ask current python -m app.db.current --json
"""
_ASK = f"""{_CURRENT}
ask migrate python -m app.db.migrate --plan --json
ask sql python -m app.db.sql
ask indexes python -c '
import json, pathlib
names = {{}}
for file in pathlib.Path("alembic/catalogs").glob("*.json"):
    names[file.stem] = [key[6:] for key in json.loads(file.read_text()) if key.startswith("index ")]
print(json.dumps(names))'
"""


@dataclass(frozen=True)
class Answer:
    """What a verb of the app has said."""

    code: int
    document: dict[str, Any]
    """empty where it said none"""
    text: str

    def fault(self, *keys: str) -> tuple[str, str] | None:
        """What it couldn't do, and its hint; None if it has answered with these keys. Findings aren't faults."""
        if "error" in self.document:
            return self.document["what"], self.document["hint"]
        if all(key in self.document for key in keys):
            return None
        return f"the migrations can't be asked: {self.text.strip() or 'it said nothing'}", "try again"


@dataclass(frozen=True)
class Pending:
    """What a candidate's migrations would do to the database."""

    revisions: list[str]
    revision: str
    """where the database stands; empty: nowhere"""
    drift: list[str]
    """how the schema differs from that revision's"""
    breaking_rows: list[str]
    sql: str
    new_indexes: frozenset[str] = frozenset()
    """what these revisions build: one that was cut off may have left a half-built one"""
    faults: list[tuple[str, str]] = field(default_factory=list)
    """why nothing can be said: what and hint"""

    @property
    def row_changes(self) -> list[str]:
        """What the revisions do to rows, and no way back undoes: UPDATE task, DELETE FROM tag."""
        found = [(" ".join(each["verb"].upper().split()), each["table"]) for each in _ROW_CHANGE.finditer(self.sql)]
        return list(dict.fromkeys(f"{verb} {table}" for verb, table in found if table not in _BOOKKEEPING))


def ask(candidate: Runtime) -> Pending:
    """Ask the candidate's image, beside the live database. Nothing is changed. Raises ProcessFailed."""
    answers = _answers(candidate, _ASK)
    current, planned, sql = answers["current"], answers["migrate"], answers["sql"]
    asked = ((current, "revision", "drift"), (planned, "pending", "breaking_rows"))
    found = [fault for answer, *keys in asked if (fault := answer.fault(*keys))]
    if sql.code:
        found.append((f"the SQL of the pending migrations can't be told: {sql.text.strip()}", "try again"))
    faults = list(dict.fromkeys(found))
    revisions, at = list(planned.document.get("pending", ())), current.document.get("revision") or ""
    indexes = answers["indexes"].document
    return Pending(
        revisions=revisions,
        revision=at,
        drift=list(current.document.get("drift", ())),
        breaking_rows=list(planned.document.get("breaking_rows", ())),
        sql="" if sql.code else sql.text,
        new_indexes=frozenset(name for each in revisions for name in indexes.get(each, ())) - set(indexes.get(at, ())),
        faults=faults,
    )


def faults(candidate: Runtime) -> tuple[str, list[str]]:
    """Where the database stands, and in what it isn't as the candidate's newest revision makes it.

    Raises ProcessFailed.
    """
    current = _answers(candidate, _CURRENT)["current"]
    fault = current.fault("revision", "drift", "pending")
    found = [fault[0]] if fault else list(current.document["drift"])
    found += [f"revision {each} is still pending" for each in current.document.get("pending", ())]
    return current.document.get("revision") or "", found


def run(candidate: Runtime, live: Runtime, pending: Sequence[str], serving: str) -> list[str]:
    """Bring the database to the candidate's head, through these revisions; returns those that it went through.

    Raises MigrationStopped with the app's own words, its exit code, and the revision that was reached.
    """
    said: list[str] = []
    done: list[str] = []
    try:
        with candidate.follow_once(_SERVICE, MIGRATE) as lines:
            for line in lines:
                said.append(line)
                ui.show(line)
                if found := _DONE.match(line):
                    done.append(found["revision"])
    except ProcessFailed as failure:
        what, hint = _last_words(said)
        reached = tables.revision(live, LIVE)
        # Those that were reached are done; the next one is what failed.
        left = pending[pending.index(reached) + 1 :] if reached in pending else pending
        what = f"revision {left[0]}: {what}" if left else what
        raise MigrationStopped(what, hint, code=failure.code, serving=serving, reached=reached) from failure
    return done


def settle(live: Runtime) -> str:
    """End what is left of a migrator whose command was cut short; returns the revision that the database is at.

    Killing its container isn't enough: its session may live on for a moment, and commit. Raises MigrationInProgress,
    ServiceNotRunning, ProcessFailed.
    """
    live.drop_leftovers()
    hazards.end_migrators(live)
    if left := hazards.migrators(live):
        raise MigrationInProgress(left)
    return tables.revision(live, LIVE)


def _answers(candidate: Runtime, questions: str) -> dict[str, Answer]:
    with candidate.follow_once(_SERVICE, ["sh", "-c", questions]) as lines:
        said = list(lines)
    found: dict[str, Answer] = {}
    parts = "\n".join(said).split(_MARK)[1:]
    name = ""
    for part in parts:
        title, _, text = part.partition("\n")
        if title.startswith("code "):
            before = found[name]
            found[name] = Answer(int(title.removeprefix("code ")), before.document, before.text)
        else:
            name = title
            found[name] = Answer(0, _document(text), text)
    return found


def _document(text: str) -> dict[str, Any]:
    """The last JSON object in a text that begins on a line of its own; notes may stand before and after it."""
    document: dict[str, Any] = {}
    end = 0
    for start in re.finditer(r"^\{", text, re.MULTILINE):
        if start.start() < end:
            continue
        try:
            document, length = json.JSONDecoder().raw_decode(text[start.start() :])
        except ValueError:
            continue
        end = start.start() + length
    return document


def _last_words(said: Sequence[str]) -> tuple[str, str]:
    """What happened and the hint: the app's last two lines, and what belongs to the first (lines that are indented)."""
    lines = [line for line in said if line.strip()]
    if len(lines) < 2:  # noqa: PLR2004 - what and hint
        return (lines[0] if lines else "the migrator ended without a word"), "read its log: ./opentr.sh logs prod"
    first = len(lines) - 2
    while first > 0 and lines[first].startswith(" "):
        first -= 1
    return "\n".join(lines[first:-1]), lines[-1]
