"""What services refuse, by kind; the API answers each kind with one status.

DbError
├── BadInput        what was asked can't be (422)
│   └── Missing     it isn't there, or it isn't yours, which nobody is told apart (404)
├── Conflict        not in the state that things are in now (409)
└── NotAllowed      you see it, and may not do that (403)
"""

from __future__ import annotations

from app.db import errors


class Missing(errors.BadInput):
    """There is no such thing among what the caller may see."""

    def __init__(self, kind: str, name: object, hint: str = "it may have been deleted; look at the list again") -> None:
        super().__init__(f"there is no {kind} {name}", hint)


class Conflict(errors.DbError):
    """It can't be done in the state that things are in now."""

    exit_code = 4


class NotAllowed(errors.DbError):
    """The caller sees it and may not do that."""

    exit_code = 4
