"""The media store: recordings by their keys, in a folder (a volume) or in a bucket of an S3 store.

A key is what `media_file.storage_path` holds: `user_<user id>/file_<file id>/<file name>`. Keys of older rows may look
otherwise; none leads out of the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from pathlib import Path

STALE_SECONDS = 86_400
"""Age at which an upload that never ended is removed: even a slow one writes something every minute."""


class Incoming(Protocol):
    """Bytes on their way into the store; no row names them before `MediaStore.keep`."""

    key: str
    """What they will be found by."""
    size: int
    """Bytes so far."""

    def write(self, data: bytes) -> None:
        """Adds these. Raises `StoreUnavailable`."""

    def finish(self) -> None:
        """Says that all are in; when this returns they are durable. Raises `StoreUnavailable`."""

    def discard(self) -> None:
        """Forgets them, unless they are kept; may be called again. Never raises a `StoreError`."""


class MediaStore(Protocol):
    """All methods may be called from any thread, and after a fork.

    Each opens its paths anew, as the folder may be exchanged at any time (design §6). They raise `KeyInvalid`,
    `StoreUnavailable`, and those that read `MediaMissing`.
    """

    def incoming(self, key: str) -> Incoming:
        """A place for the bytes of a new recording of this key; of one like it, if there is a file of that key."""

    def keep(self, incoming: Incoming) -> None:
        """Makes finished bytes the file of their key, whole and durable. Raises `UploadCutOff`.

        Quick. To be called in the transaction that stores the row, so that no exchange can come in between.
        """

    def open(self, key: str) -> BinaryIO:
        """The file, to read and to seek in."""

    def local_path(self, key: str) -> Path | None:
        """Where the file is on this machine; None if the store has no such places."""

    def size(self, key: str) -> int:
        """Bytes of the file."""

    def delete(self, key: str) -> None:
        """Removes the file, if it is there."""

    def check(self) -> None:
        """Writes something, reads it back and removes it. Raises `StoreUnavailable`."""

    def tidy(self, older_than_seconds: float = STALE_SECONDS) -> int:
        """Removes uploads that never ended; returns how many."""
