"""What can go wrong between two releases. The words say what happened, what is serving now, and what to type.

OpentrError
├── ReleaseUnknown, ReleaseImagesGone, OtherRelease, NothingDeployed
├── PreflightFailed, MigrationStopped, MigrationInProgress
└── RolledBack, RollStuck, RollbackRefused
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Blocker:
    """Something in the way of a deploy, and what to type about it."""

    check: str
    what: str
    hint: str


class NothingDeployed(OpentrError):
    """There is no release here yet that another could follow."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, project: str) -> None:
        super().__init__(
            f"{project} was never started, so there is no release to go on from",
            "type ./opentr.sh start prod: it makes this checkout the first release",
        )


class OtherRelease(OpentrError):
    """The configuration that is checked out is made for another release than the one that serves."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, serving: str) -> None:
        super().__init__(
            f"{serving} serves, and another release is checked out, whose configuration isn't made for it",
            "type ./opentr.sh deploy prod, which takes on changed settings too; or check out the one that serves",
        )


class ReleaseUnknown(OpentrError):
    """Neither a release that was deployed here nor a tag of the repository."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = f"; deployed here were: {', '.join(known)}" if known else ""
        super().__init__(
            f"{name} is neither a release that was deployed here nor a git tag",
            f"name one of these: git tag --list{there}",
        )
        self.name = name


class ReleaseImagesGone(OpentrError):
    """A release that was deployed here, whose images have been removed since."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, release: str, images: Sequence[str]) -> None:
        super().__init__(
            f"the images of {release} aren't here any more: {', '.join(images)}",
            "build them again from its tag: git tag --contains COMMIT, then deploy prod --to TAG",
        )
        self.images = images


class ReleaseAmbiguous(OpentrError):
    """Several releases of this version have served here."""

    exit_code = ExitCode.USAGE

    def __init__(self, wanted: str, known: Sequence[str]) -> None:
        super().__init__(f"several releases of {wanted} have served here", f"name one of them: {', '.join(known)}")


class DeployUnknown(OpentrError):
    """A deploy that the journal doesn't have, or several begin like this."""

    exit_code = ExitCode.USAGE

    def __init__(self, wanted: str | None, known: Sequence[str]) -> None:
        what = f"no deploy, or more than one, begins with {wanted}" if wanted else "nothing was deployed here yet"
        super().__init__(what, f"there are: {', '.join(known[-10:])}" if known else "type ./opentr.sh deploy prod")
        self.wanted = wanted


class PreflightFailed(OpentrError):
    """Things that are in the way; nothing was touched. `blockers` are all that were found."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, blockers: Sequence[Blocker], serving: str, again: str) -> None:
        several = f"{len(blockers)} things are" if len(blockers) > 1 else "one thing is"
        lines = "".join(f"\n  {each.what}\n    → {each.hint}" for each in blockers)
        super().__init__(
            f"{several} in the way, and nothing was changed; {serving}:{lines}",
            f"mend what is listed, then type {again} again",
        )
        self.blockers = list(blockers)


class MigrationStopped(OpentrError):
    """The migrations ended before head. What was committed stays; the release before serves on it."""

    def __init__(self, what: str, hint: str, *, code: int, serving: str, reached: str) -> None:
        known = {each.value for each in ExitCode}
        self.exit_code = ExitCode(code) if code in known else ExitCode.FAILED  # type: ignore[misc] # of this one
        at = f"; the database is at revision {reached or 'none'}"
        what = what.rstrip(".")
        # the app's own words name the revision as well
        super().__init__(f"{what}{'' if 'is at revision' in what else at}; {serving}", hint)
        self.reached = reached


class SchemaBehind(OpentrError):
    """The database is older than the release that serves, as after a restore."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, release: str, at: str, head: str) -> None:
        super().__init__(
            f"the database is at revision {at}, and {release} needs {head}; the app stays closed",
            "bring it there: ./opentr.sh migrate prod",
        )


class MigrationInProgress(OpentrError):
    """A migrator that nobody waits for any more still works on the server, and doesn't end."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, sessions: Sequence[str]) -> None:
        super().__init__(
            f"a migrator of a command that was cut short doesn't end: {'; '.join(sessions)}",
            "stop Postgres, which ends it: ./opentr.sh stop prod postgres, then ./opentr.sh start prod",
        )


class Interrupted(OpentrError):
    """Somebody wants it to end: Ctrl-C, or a terminal that is gone."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self) -> None:
        super().__init__("it was interrupted", "type the same command again")


class RolledBack(OpentrError):
    """The new release didn't come up; the one before serves again, on the schema as it is now."""

    def __init__(self, release: str, reason: str, serving: str, revision: str, log: Sequence[str]) -> None:
        super().__init__(
            f"{release} doesn't come up: {reason}; {serving} serves again, the database is at revision {revision}",
            "mend it, then type ./opentr.sh deploy prod; ./opentr.sh deploy show shows how far this one came",
        )
        self.log = log
        """the last lines of the service that failed"""


class RollStuck(OpentrError):
    """Neither the new release nor the one before comes up."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, release: str, reason: str, before: str, again: str) -> None:
        super().__init__(
            f"{release} doesn't come up: {reason}; and {before} doesn't come back: {again}",
            f"mend what it names (./opentr.sh status prod), then type ./opentr.sh start prod, which brings up {before},"
            " or ./opentr.sh deploy prod",
        )


class RollbackRefused(OpentrError):
    """The release before can't serve what is there now."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"there is no way back to the release before: {reason}; nothing was changed", hint)
