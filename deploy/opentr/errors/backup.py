"""What can go wrong with backups and their proofs, as typed errors.

OpentrError
├── BackupUnknown, BackupAmbiguous, NoBackups
├── RepositoryUnreadable, RepositoryVanished
├── RepositoryLocked
├── BackupFailed, BackupDamaged
├── BackupUnproven, ProofUnfinished
└── PassphraseChanged, PassphraseLost
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FULL_AGAIN = "take a new full one, and prove it: ./opentr.sh backup prod --type full; ./opentr.sh backup verify newest"
_SHOWN = 5
"""So many of the known ones are named."""


class BackupUnknown(OpentrError):
    """There is no such backup; `known` are the IDs of those that there are, newest first."""

    exit_code = ExitCode.USAGE

    def __init__(self, wanted: str, nearest: str | None, known: Sequence[str], environment: str) -> None:
        guess = f"; did you mean {nearest}?" if nearest else ""
        newest = f"the newest are {', '.join(known[:_SHOWN])}; " if known else ""
        super().__init__(
            f"there is no backup {wanted}{guess}", f"{newest}./opentr.sh backup list {environment} shows all"
        )
        self.wanted = wanted
        self.nearest = nearest
        self.known = known


class BackupAmbiguous(OpentrError):
    """The beginning of an ID that several backups share."""

    exit_code = ExitCode.USAGE

    def __init__(self, wanted: str, matches: Sequence[str]) -> None:
        more = ", …" if matches[_SHOWN:] else ""
        super().__init__(
            f"{len(matches)} backups begin with {wanted}", f"name one: {', '.join(matches[:_SHOWN])}{more}, or newest"
        )
        self.matches = matches


class NoBackups(OpentrError):
    """A backup was asked for, and there is none yet."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, environment: str) -> None:
        super().__init__(f"{environment} has no backup yet", f"take one: ./opentr.sh backup {environment}")


class RepositoryUnreadable(OpentrError):
    """The repository of the backups can't be read; `reason` is what pgBackRest said."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the repository of the backups can't be read: {reason}",
            "mend what it names; the service's log tells more: ./opentr.sh logs prod backup",
        )
        self.reason = reason


class RepositoryVanished(OpentrError):
    """The volume with the repository isn't there, though backups were taken."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, project: str) -> None:
        super().__init__(
            f"the volume with the backups of {project} is gone",
            "bring it back from a copy; or begin a new one, with a full backup: ./opentr.sh start prod",
        )


class RepositoryLocked(OpentrError):
    """Another backup went on for longer than we wait. `holder` says which: full backup (schedule) since 12:00 UTC."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, holder: str) -> None:
        super().__init__(
            f"another backup is at work, no second one was begun: {holder}",
            "try again when it has ended; how it fares: ./opentr.sh logs prod backup",
        )
        self.holder = holder


class BackupFailed(OpentrError):
    """A backup wasn't taken, or not to its end; the ones before are as they were. `reason` says what happened."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason, hint)
        self.reason = reason


class BackupDamaged(OpentrError):
    """A backup was taken of data files with broken pages. What is broken is the live database."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, objects: Sequence[str]) -> None:
        found = "; ".join(objects) or "pgBackRest doesn't say where"
        super().__init__(
            f"the live database has broken pages, and this backup has them too: {found}",
            "restore the newest proven one, of ./opentr.sh backup list: ./opentr.sh restore prod --backup ID",
        )
        self.objects = objects


class BackupUnproven(OpentrError):
    """A restore of the backup was tried, and isn't what was backed up. `objects` are the exact places."""

    def __init__(self, label: str, objects: Sequence[str], again: str = FULL_AGAIN) -> None:
        super().__init__(f"backup {_id(label)} can't be relied on: {'; '.join(objects)}", again)
        self.label = label
        self.objects = objects


class ProofUnfinished(OpentrError):
    """The proof could not be carried out: nothing is known about the backup that wasn't before."""

    def __init__(self, label: str, reason: str, hint: str) -> None:
        super().__init__(f"backup {_id(label)} could not be tried: {reason}", hint)
        self.label = label
        self.reason = reason


class PassphraseChanged(OpentrError):
    """The backups' passphrase isn't the one that was made first, and a repository can't take another.

    `elsewhere` is another file of ours that still has the first one; None if there is none.
    """

    exit_code = ExitCode.BLOCKED

    def __init__(self, file: Path, elsewhere: Path | None) -> None:
        super().__init__(
            f"{file}: this isn't the passphrase that the backups were made with",
            f"remove the file: the next command takes the right one from {elsewhere}"
            if elsewhere
            else "put the file back from your copy: without it no backup can be read",
        )
        self.file = file


class PassphraseLost(OpentrError):
    """The backups' passphrase was made once, and its file is gone. It is never made again."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, file: Path) -> None:
        super().__init__(
            f"{file} is gone: the backups can't be read without this passphrase, and none was made in its place",
            "put the file back from your copy, one line as it was; then the same command again",
        )
        self.file = file


def _id(label: str) -> str:
    """The label's own part, as `backup list` shows it."""
    return label.rpartition("_")[2]
