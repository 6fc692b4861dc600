"""Which media store there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.storage.volume import Volume

if TYPE_CHECKING:
    from app.core.config import Settings
    from app.storage.media_store import MediaStore


def media_store(settings: Settings) -> MediaStore:
    """The store that these settings name. Connects to nothing."""
    if not settings.MEDIA_URL:
        return Volume(settings.MEDIA_ROOT)
    from app.storage.bucket import Bucket  # noqa: PLC0415 - boto takes half a second and 40 MB

    return Bucket.of(settings)
