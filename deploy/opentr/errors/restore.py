"""What can go wrong while data is brought back, as typed errors.

OpentrError
├── DumpUnusable, DumpForeign, DumpTooNew, DumpRefused, DumpUnproven
├── DatabaseUnreadable
├── NothingReplaced, AsideUnjudged, BackupUnfit, RestoreBlocked
└── ClusterFailed, RestoreFailed, RestoreStuck, RestoredUnserved
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Left = Literal["before", "nothing", "restored"]
"""What is in the volume after a restore that failed: what was there before; nothing; or, where nothing was before, what
was restored."""
_CHOOSE = "choose another backup: ./opentr.sh backup list prod"
_LEFT: dict[Left, tuple[str, str]] = {
    "before": (
        "what was there before is there again",
        f"see what serves now: ./opentr.sh status prod; then {_CHOOSE}",
    ),
    "nothing": ("there was no data before, and there is none now", _CHOOSE),
    "restored": (
        "there was no data before, and what was restored stays in its place",
        "see why: ./opentr.sh logs prod postgres; then go on with it: ./opentr.sh start prod",
    ),
}


class DumpUnusable(OpentrError):
    """A file that can't be restored, whatever it is; nothing was touched."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, path: Path, reason: str, hint: str) -> None:
        super().__init__(f"{path} can't be restored: {reason}", hint)
        self.path = path
        self.reason = reason


class DumpRefused(OpentrError):
    """Postgres refused what stands in a dump; nothing was changed."""

    def __init__(self, path: Path, line: int | None, said: str) -> None:
        at = f"{path}, line {line:,}: Postgres refused it" if line else f"pg_restore can't load {path}"
        super().__init__(
            f"{at}: {said}; nothing was changed",
            "the file is damaged, or isn't of a whole database: take another copy, or dump it again",
        )
        self.line = line
        self.said = said


class DumpUnproven(OpentrError):
    """What was restored isn't what the dump holds; nothing was changed."""

    def __init__(self, path: Path, differences: Sequence[str]) -> None:
        super().__init__(
            f"{path} was restored beside the live database and differs: {'; '.join(differences)}; nothing was changed",
            "take another copy of the file, or an older dump",
        )
        self.differences = differences


class DumpForeign(OpentrError):
    """A dump of something else than OpenTranscribe's database; nothing was changed."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, path: Path, missing: Sequence[str]) -> None:
        super().__init__(
            f"{path} isn't of OpenTranscribe's database: it has no table {', '.join(missing)}; nothing was changed",
            "name a dump of the database opentranscribe, with its tables in the schema public",
        )


class DumpTooNew(OpentrError):
    """A dump of a database that this release can't work on; nothing was changed."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, path: Path, revision: str, release: str, ours: str) -> None:
        super().__init__(
            f"{path} is at revision {revision}, on which release {release} or newer works; this is {ours}",
            "get that release first (git pull); nothing was changed",
        )


class DatabaseUnreadable(OpentrError):
    """The app can't say where a database stands."""

    def __init__(self, database: str, what: str, hint: str) -> None:
        super().__init__(f"nobody can say where {database} stands: {what}", hint)


class NothingReplaced(OpentrError):
    """There is nothing that a restore has replaced and that could be put back."""

    exit_code = ExitCode.BLOCKED

    def __init__(self) -> None:
        super().__init__(
            "no restore of a backup has replaced anything that is still there",
            "after `restore prod FILE` it is: ./opentr.sh reset prod --undo",
        )


class AsideUnjudged(OpentrError):
    """Something else was put aside than what was looked at."""

    def __init__(self) -> None:
        super().__init__(
            "what the last restore replaced is another cluster by now, and stays", "look again: ./opentr.sh clean prod"
        )


class BackupUnfit(OpentrError):
    """A backup that can't be restored to where it ended."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, backup: str, reason: str) -> None:
        super().__init__(
            f"backup {backup} can't be restored: {reason}", "choose another one: ./opentr.sh backup list prod"
        )


class RestoreBlocked(OpentrError):
    """A restore from a backup would fail as soon as it begins; nothing was touched."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"the restore can't begin: {reason}; nothing was touched", hint)
        self.reason = reason


class ClusterFailed(OpentrError):
    """The program that works on the clusters in the volume has failed; what that means, who has called it knows."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, reason: str) -> None:
        super().__init__(
            reason, "mend what it names, then type the same again; see what serves: ./opentr.sh status prod"
        )
        self.reason = reason


class RestoreFailed(OpentrError):
    """The cluster could not be restored, and what had been done is taken back. Else it is RestoreStuck."""

    def __init__(self, reason: str, left: Left = "before") -> None:
        now, hint = _LEFT[left]
        super().__init__(f"the restore failed: {reason}; {now}", hint)
        self.reason = reason
        self.left = left


class RestoreStuck(OpentrError):
    """A restore has failed, and taking it back has failed as well; the next command tries that again."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, reason: str, left: Sequence[str]) -> None:
        super().__init__(
            f"the restore failed: {reason}; and taking it back failed: {'; '.join(left)}",
            "mend what it names, then go on taking it back: ./opentr.sh start prod",
        )
        self.left = left


class RestoredUnserved(OpentrError):
    """The data is restored and in its place, and the app doesn't come up on it."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, what: str, reason: str, log: str, undo: str) -> None:
        super().__init__(
            f"{what} is restored, and the app doesn't come up on it: {reason}",
            f"{log}; what it replaced comes back by: {undo}",
        )
