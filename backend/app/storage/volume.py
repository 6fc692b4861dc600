"""The media store in a folder."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from app.storage import keys
from app.storage.errors import KeyInvalid, MediaMissing, StoreFull, StoreUnavailable, UploadCutOff
from app.storage.media_store import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.storage.media_store import Incoming

INCOMING = ".incoming"
"""Below the store's folder, so that a rename of that takes the bytes along; no key begins with a point."""
_UNSYNCED_BYTES = 64 * 1024**2
"""So much is left for the end at most, when somebody waits for an answer, and in the kernel's memory."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP)


class IncomingFile:
    """A file that isn't complete yet."""

    def __init__(self, key: str, path: Path) -> None:
        self.key = key
        self.size = 0
        self.path = path
        self._file = path.open("xb")
        self._synced = 0

    def write(self, data: bytes) -> None:
        """Adds these bytes."""
        with _worded():
            self._file.write(data)
            self.size += len(data)
            if self.size - self._synced >= _UNSYNCED_BYTES:
                self._sync()

    def finish(self) -> None:
        """Returns when the disk has them."""
        with _worded():
            self._sync()
            self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced = self.size

    def discard(self) -> None:
        """Removes it from where it came in, if it is there still."""
        for forget in (self._file.close, self.path.unlink):
            with suppress(OSError):
                forget()


class Volume:
    """A folder, which somebody else makes: while one is exchanged for another there is none for a moment."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def incoming(self, key: str) -> IncomingFile:
        """A new file in the folder of those."""
        with _worded():
            while os.path.lexists(self._place(key)):
                key = keys.another(key, secrets.token_hex(3))
            return IncomingFile(key, self._folder_of_incoming() / uuid4().hex)

    def keep(self, incoming: Incoming) -> None:
        """Moves it to its place, and has the disk remember that."""
        assert isinstance(incoming, IncomingFile)  # noqa: S101 - we made it
        place = self._place(incoming.key)
        folders = [self._root, *reversed([each for each in place.parents if self._root in each.parents])]
        with _worded():
            for folder in folders[1:]:  # never the root: see the class
                folder.mkdir(exist_ok=True)
            try:
                incoming.path.rename(place)
            except FileNotFoundError:
                raise UploadCutOff from None
            for folder in folders:
                _sync(folder)

    def open(self, key: str) -> BinaryIO:
        """The file itself."""
        with self._reading(key) as path:
            return path.open("rb")

    def local_path(self, key: str) -> Path:
        """Its path, which holds as long as nobody exchanges the folder."""
        with self._reading(key) as path:
            return path

    def size(self, key: str) -> int:
        """Bytes of the file."""
        with self._reading(key) as path:
            return path.stat().st_size

    def delete(self, key: str) -> None:
        """Removes the file, and its folder if that is empty and one of its own."""
        place = self._place(key)
        with _worded():
            place.unlink(missing_ok=True)
        if place.parent.name.startswith("file_"):
            with suppress(OSError):  # another file is in it, or it is gone
                place.parent.rmdir()

    def check(self) -> None:
        """Writes, reads and removes a small file among those that come in."""
        wrote = secrets.token_bytes(16)
        with _worded():
            path = self._folder_of_incoming() / f"check-{uuid4().hex}"
            try:
                path.write_bytes(wrote)
                read = path.read_bytes()
            finally:
                path.unlink(missing_ok=True)
        if read != wrote:
            raise StoreUnavailable("it reads other bytes than were written")

    def tidy(self, older_than_seconds: float = STALE_SECONDS) -> int:
        """Removes what came in and wasn't written to for so long."""
        removed = 0
        with _worded():
            for path in self._folder_of_incoming().iterdir():
                with suppress(FileNotFoundError):  # just kept, or removed by another
                    if path.stat().st_mtime <= time.time() - older_than_seconds:
                        path.unlink()
                        removed += 1
        return removed

    def _folder_of_incoming(self) -> Path:
        folder = self._root / INCOMING
        folder.mkdir(exist_ok=True)
        return folder

    def _place(self, key: str) -> Path:
        """Where the file of this key is or would be. Raises `KeyInvalid`, also for links that lead out."""
        place = self._root.joinpath(*keys.parts_of(key))
        if _is_circle(place) or not place.resolve().is_relative_to(self._root.resolve()):
            raise KeyInvalid(key)
        return place

    @contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        """The path of a file that is there."""
        place = self._place(key)
        with _worded():
            try:
                if not stat.S_ISREG(place.stat().st_mode):
                    raise MediaMissing(key)
                yield place
            except OSError as error:
                if error.errno not in _NO_FILE:
                    raise
                if not self._root.is_dir():
                    raise StoreUnavailable("its folder isn't there") from None
                raise MediaMissing(key) from None


@contextmanager
def _worded() -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFull from error
        raise StoreUnavailable(error.strerror or type(error).__name__) from error


def _is_circle(place: Path) -> bool:
    """Whether links on the way to it lead to themselves, which `resolve` tells in some versions of Python alone."""
    try:
        place.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
