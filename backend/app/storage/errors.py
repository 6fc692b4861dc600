"""What can go wrong between us and the recordings' bytes, as typed errors.

Whoever reads a file may get KeyInvalid or MediaMissing. All else is StoreUnavailable, and another try may go better;
StoreFull and UploadCutOff are kinds of that.
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of all: `what` happened, and in `hint` what to do next."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class KeyInvalid(StoreError):
    """No file of the store can have this key: it leads elsewhere, or nowhere."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"{key!r} names no file of the media store", "correct media_file.storage_path of this recording"
        )


class MediaMissing(StoreError):
    """The store works, and has no file of this key."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the media store has no file {key!r}", "look for it in a backup, or in the folders beside MEDIA_ROOT"
        )


class StoreUnavailable(StoreError):
    """The store can't be reached, or fails; another try may go better."""

    def __init__(self, reason: str, hint: str = "see whether MEDIA_ROOT or MEDIA_URL is right, then try again") -> None:
        super().__init__(f"the media store is not available: {reason}", hint)
        self.reason = reason


class StoreFull(StoreUnavailable):
    """There is no room for more."""

    def __init__(self) -> None:
        super().__init__("it is full", "make room on its disk, then try again")


class UploadCutOff(StoreUnavailable):
    """Another generation of the data became the live one while the bytes came in."""

    def __init__(self) -> None:
        super().__init__("its files were exchanged meanwhile (a reset or a restore)", "upload the file again")
