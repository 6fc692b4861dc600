"""Sizes in words."""

from __future__ import annotations

_THOUSAND = 1000


def size(count: float) -> str:
    """So many bytes in the largest unit that fits, as docker tells them: 412 kB, 1.3 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < _THOUSAND:
            return f"{count:.3g} {unit}"
        count /= _THOUSAND
    return f"{count:.3g} TB"
