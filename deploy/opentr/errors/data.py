"""What goes wrong with generations of data and with dumps."""

from __future__ import annotations

from opentr.errors import ExitCode, OpentrError


class NoGenerationBefore(OpentrError):
    """There is nothing that --undo could bring back."""

    exit_code = ExitCode.BLOCKED

    def __init__(self) -> None:
        super().__init__("there is no generation before this one to go back to", "each reset keeps one, until the next")


class SchemaBroken(OpentrError):
    """Postgres refused a file of SQL that is to make the schema."""

    def __init__(self, file: str, line: int, said: str) -> None:
        super().__init__(f"{file}, line {line}: {said}", f"correct {file}, then try again; nothing was changed")
        self.file = file
        self.line = line


class DatabaseNotEmpty(OpentrError):
    """A schema was to be made where one is."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, database: str, environment: str) -> None:
        super().__init__(
            f"{database} has tables already; nothing was changed",
            f"to begin anew, type ./opentr.sh reset {environment}",
        )


class DumpFailed(OpentrError):
    """The database could not be dumped, or its dump didn't prove to be whole; nothing was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the database could not be saved: {reason}",
            "mend what it names; or go on with --without-dump: the old database stays beside the new one, undumped",
        )
        self.reason = reason


class NoRoom(OpentrError):
    """There is less free space than something will need; nothing was done yet."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, what: str, where: str, needed: str, free: str) -> None:
        super().__init__(f"{what} needs {needed} in {where}, and {free} are free", "make room there, then try again")


class PreviousUnsaved(OpentrError):
    """The generation before was never dumped, and a reset would drop it."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} holds data of which there is no dump, and this would drop it",
            f"look at it, then drop it: ./opentr.sh psql prod --write -d postgres -c 'DROP DATABASE {database}'",
        )
