"""What --since says, as a time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from opentr.errors.services import LogQueryInvalid

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(?:\d{1,9}[smhdw])+")
_PART = re.compile(r"(\d+)([smhdw])")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def since(text: str, now: datetime) -> datetime:
    """The time, in UTC: so long before `now` (90s, 10m, 1h30m, 2d), or a moment (2026-01-02, 2026-01-02T03:04).

    A moment without Z or an offset is one of this machine's time zone. Raises LogQueryInvalid.
    """
    given = text.strip()
    if _AGO.fullmatch(given):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(given))
        return max(_BEGINNING, now - timedelta(seconds=min(seconds, now.timestamp())))
    moment = _moment(given)
    if moment is None:
        raise LogQueryInvalid(
            f"--since {given or repr(given)} is neither a duration nor a time",
            "say how long ago (90s, 10m, 1h30m, 2d) or when (2026-01-02, 2026-01-02T03:04, with Z for UTC)",
        )
    if moment > now:
        raise LogQueryInvalid(
            f"--since {given} lies in the future", f"now it is {now.astimezone():%Y-%m-%dT%H:%M:%S%z}"
        )
    return max(_BEGINNING, moment)


def _moment(text: str) -> datetime | None:
    """The moment in UTC; None for what isn't one."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
