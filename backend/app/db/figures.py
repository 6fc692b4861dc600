"""Numbers that print with their unit and stay numbers, so that a table sets them flush right."""

from __future__ import annotations

_KIBI = 1024
_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB")
_TIME_UNITS = (("s", 60.0), ("min", 60.0), ("h", 24.0), ("d", float("inf")))


class Size(int):
    """Bytes, printed as `12.3 MB`; a kB is 1024 bytes, as in PostgreSQL's own views."""

    def __format__(self, _spec: str) -> str:
        if abs(self) < _KIBI:
            return f"{int(self)} B"
        value, unit = float(self), "B"
        for unit in _BYTE_UNITS:
            value /= _KIBI
            if abs(value) < _KIBI:
                break
        return f"{value:.1f} {unit}"


class Age(float):
    """Seconds, printed in the unit that fits: `45 s`, `3.5 min`, `2.0 h`, `12.0 d`."""

    def __format__(self, _spec: str) -> str:
        value, unit = float(self), "s"
        for unit, length in _TIME_UNITS:
            if value < length:
                break
            value /= length
        return f"{value:.0f} s" if unit == "s" else f"{value:.1f} {unit}"


class Estimate(int):
    """A count that nobody has counted: `~12,345`."""

    def __format__(self, _spec: str) -> str:
        return f"~{int(self):,}"


class Share(float):
    """A share of a whole, 0 to 1, printed in percent."""

    def __format__(self, _spec: str) -> str:
        return f"{100 * float(self):.1f} %"
