"""Numbers that print with their unit and stay numbers, so that a table sets them flush right."""

from __future__ import annotations

_KIBI = 1024
_BYTE_UNITS = (("PB", _KIBI**5), ("TB", _KIBI**4), ("GB", _KIBI**3), ("MB", _KIBI**2), ("kB", _KIBI))
_TIME_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


class Size(int):
    """Bytes, printed as `12.3 MB`; a kB is 1024 bytes, as in PostgreSQL's own views."""

    def __format__(self, _spec: str) -> str:
        for unit, size in _BYTE_UNITS:
            if abs(self) >= size:
                return f"{int(self) / size:.1f} {unit}"
        return f"{int(self)} B"


class Age(float):
    """Seconds, printed in the unit that fits: `45 s`, `3.5 min`, `2.0 h`, `12.0 d`."""

    def __format__(self, _spec: str) -> str:
        for unit, length in _TIME_UNITS:
            if self >= length:
                return f"{float(self) / length:.1f} {unit}"
        return f"{float(self):.0f} s"


class Estimate(int):
    """A count that nobody has counted: `~12,345`."""

    def __format__(self, _spec: str) -> str:
        return f"~{int(self):,}"


class Share(float):
    """A share of a whole, 0 to 1, printed in percent."""

    def __format__(self, _spec: str) -> str:
        return f"{100 * float(self):.1f} %"
