"""Before a deploy: everything that would stop it halfway, all of it at once, each with what to type about it.

Nothing that serves is touched, and nothing here can be skipped. What it takes: the candidate's images, which are built.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import process, ui
from opentr.actions import backup, build, candidate, config, migration, releases
from opentr.actions.db import LINT_RULES
from opentr.errors import OpentrError, ProcessFailed
from opentr.errors.deploy import Blocker
from opentr.server import backups, hazards
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentr.actions.candidate import Target
    from opentr.actions.environment import Environment
    from opentr.actions.migration import Pending
    from opentr.actions.releases import Release
    from opentr.server.hazards import Server

SPARE_BYTES = 200_000_000
"""What has to stay free on the engine's disk, whatever a deploy itself takes."""
_PROOF = 1.2
"""A proof takes as much as the database, and the WAL that it replays."""
_DRIFT_INDEX = re.compile(r"^index (?P<name>\S+) ")
_FINDING = re.compile(r"^.+?:\d+:\d+: \w+: (?P<rule>\S+) (?P<words>.*)")


@dataclass
class Found:
    """What preflight has found."""

    blockers: list[Blocker] = field(default_factory=list)
    release: Release | None = None
    """the candidate, if its images could be built"""
    server: Server | None = None
    pending: Pending | None = None

    @contextmanager
    def checking(self, what: str) -> Iterator[None]:
        """A check that couldn't be made is a blocker too."""
        ui.show(what)
        try:
            yield
        except ProcessFailed as error:
            said = error.stderr.strip().splitlines() or [error.what]
            self.block(what, f"{what}: {said[-1]}", error.hint)
        except OpentrError as error:
            self.block(what, error.what, error.hint)

    def block(self, check: str, what: str, hint: str) -> None:
        """Something is in the way."""
        if all((each.what, each.hint) != (what, hint) for each in self.blockers):
            self.blockers.append(Blocker(check, what, hint))


def look(environment: Environment, target: Target, *, archived: bool) -> Found:
    """Make all checks; `archived`: the release that serves archives its WAL, so that it can be backed up."""
    found = Found()
    _settings(found, environment)
    _server(found, environment)
    _major(found, target)
    if found.server is not None and archived:
        _repository(found, environment)
    _room(found, environment)
    with found.checking("the candidate's images"):
        found.release = candidate.made(environment, target)
    if found.release is not None:
        _candidate(found, environment, found.release)
    return found


def _settings(found: Found, environment: Environment) -> None:
    with found.checking("the settings"):
        for each in config.blocking(environment.settings):
            found.block("settings", each.what, each.hint)


def _server(found: Found, environment: Environment) -> None:
    with found.checking("the database"):
        found.server = hazards.look(environment.runtime)
        for each in found.server.hazards:
            found.block("database", each.what, each.hint)


def _major(found: Found, target: Target) -> None:
    server = found.server
    if server is not None and target.postgres_major not in {0, server.major}:
        what = f"the data is PostgreSQL {server.major}'s, and {target} brings PostgreSQL {target.postgres_major}"
        found.block("postgres", what, "move it with a logical backup: ./opentr.sh backup prod --logical")


def _repository(found: Found, environment: Environment) -> None:
    with found.checking("the backups"):
        backup.steps(environment, None)  # looks for its room
        archiver = backups.archiver(environment.runtime)
        if archiver.failing_since:
            what = f"WAL isn't archived since {archiver.failing_since.astimezone():%Y-%m-%d %H:%M}"
            found.block("archive", what, "see why: ./opentr.sh logs prod postgres --grep archive")


def _room(found: Found, environment: Environment) -> None:
    """Where the engine keeps its data: for the copy that the proof makes, and for images."""
    with found.checking("the disk"):
        folder = build.data_folder(environment)
        if folder is None or not folder.exists():
            return  # an engine elsewhere; the phases ask for their own room, where it is
        needed = round((found.server.cluster_bytes if found.server else 0) * _PROOF) + SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            what = f"a deploy needs {size(needed)} in {folder}, and {size(free)} are free"
            found.block("room", what, "make room there: ./opentr.sh clean prod, docker system df shows what takes it")


def _candidate(found: Found, environment: Environment, release: Release) -> None:
    beside = candidate.laid_ready(environment, release)
    with found.checking("the candidate's Compose file"):
        beside.outdated()
    if found.server is None:
        return
    with found.checking("the pending migrations"):
        found.pending = migration.ask(beside)
        _schema(found, found.server, found.pending)
        if found.pending.sql and found.pending.revisions:
            _lint(found, found.pending.sql)
        if found.pending.revisions and (before := releases.current(environment)):
            tolerated(found, release, before)


def tolerated(found: Found, release: Release, before: Release) -> None:
    """The release that serves must work on the new schema too: while it serves on, and if it has to come back."""
    if releases.number(before.version) < releases.number(release.oldest_release):
        what = f"the pending revisions need release {release.oldest_release} or newer, and {before} serves meanwhile"
        hint = f"deploy release {release.oldest_release} first, whose code works with both schemas: --to TAG"
        found.block("schema", what, hint)


def _schema(found: Found, server: Server, pending: Pending) -> None:
    """What stands in the way of these revisions. An index that one of them builds may be there, half-built."""
    coming = pending.new_indexes
    for what, hint in pending.faults:
        back = "deploy a release that has it: ./opentr.sh deploy history, then deploy prod --to RELEASE"
        found.block("migrations", what, back if "of a newer release" in what else hint)
    for line in pending.drift:
        index = _DRIFT_INDEX.match(line)
        if not (index and index["name"] in coming | {each.rpartition(".")[2] for each in server.invalid_indexes}):
            what = f"the schema isn't that of revision {pending.revision}: {line}"
            found.block("schema", what, "mend it by hand; see all of it: ./opentr.sh db current prod")
    for line in pending.breaking_rows:
        found.block("rows", f"rows that a pending revision refuses: {line}", "correct or delete these rows")
    for name in server.invalid_indexes:
        if name.rpartition(".")[2].strip('"') not in coming:
            hint = f"build it anew: ./opentr.sh psql prod --write -c 'REINDEX INDEX CONCURRENTLY {name}'; or drop it"
            found.block("indexes", f"the index {name} is invalid", hint)


def _lint(found: Found, sql: str) -> None:
    for line in lint(sql):
        found.block("lint", f"a pending revision's SQL breaks a rule: {line}", "mend the revision; ./opentr.sh db lint")


def lint(sql: str) -> Sequence[str]:
    """What squawk finds in this SQL, a line each. Raises ProcessFailed where it can't be asked."""
    with tempfile.TemporaryDirectory(prefix="opentr-") as folder:
        file = Path(folder) / "pending.sql"
        file.write_text(sql, encoding="utf-8")
        squawk = str(Path(sys.executable).with_name("squawk"))
        said: list[str] = []
        try:
            with process.lines([squawk, "--reporter", "gcc", "--config", str(LINT_RULES), str(file)]) as lines:
                said.extend(lines)
        except ProcessFailed:
            if not said:
                raise
    return [f"{match['rule']}: {match['words']}" if (match := _FINDING.match(line)) else line for line in said]
