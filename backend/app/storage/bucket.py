"""The media store in a bucket of an S3 store."""

from __future__ import annotations

import io
import os
import secrets
import threading
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast
from uuid import uuid4

import fsspec
from botocore.exceptions import BotoCoreError, ClientError
from s3fs.core import S3_RETRYABLE_ERRORS

from app.storage import keys
from app.storage.errors import MediaMissing, StoreError, StoreUnavailable
from app.storage.media_store import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.core.config import Settings
    from app.storage.media_store import Incoming

_PART_BYTES = 8 * 1024**2
"""What an upload holds in memory. A store takes 10,000 parts at most (Amazon S3's quotas), so this allows 80 GB."""
_READ_AHEAD_BYTES = 4 * 1024**2
_CHECKS = ".incoming"
_FAILURES = (OSError, BotoCoreError, ClientError, *S3_RETRYABLE_ERRORS)


class IncomingObject:
    """A multipart upload; an object as soon as all is in, of which nobody knows yet.

    A store may take minutes to join thousands of parts, and no transaction waits for that. (Amazon S3's reference,
    CompleteMultipartUpload.) So an API that is killed just then leaves an object behind that no row names.
    """

    def __init__(self, key: str, file: Any, remove: Callable[[], None]) -> None:  # noqa: ANN401 - fsspec has no types
        self.key = key
        self.size = 0
        self.is_kept = False
        self._file = file
        self._remove = remove
        self._is_object = False

    def write(self, data: bytes) -> None:
        """Adds these bytes; whenever there is a part of them, it is sent."""
        with _worded(self.key):
            self._file.write(data)
        self.size += len(data)

    def finish(self) -> None:
        """Sends what is left, and completes the upload."""
        with _worded(self.key):
            self._file.close()
            self._file.commit()
        self._is_object = True

    def discard(self) -> None:
        """Has the store forget the parts or the object."""
        if self.is_kept:
            return
        self._file.closed = True  # else it would send what is left when nobody refers to it any more
        with suppress(StoreError), _worded(self.key):
            if self._is_object:
                self._remove()
            else:
                self._file.discard()


class StoredObject(io.RawIOBase):
    """An object, to read and to seek in. Whatever goes wrong meanwhile is one of our errors, as when it was opened."""

    def __init__(self, key: str, file: Any) -> None:  # noqa: ANN401 - fsspec has no types
        self._key = key
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a Buffer, which Python 3.12 names
        """Reads what fits. Raises `StoreUnavailable`."""
        with _worded(self._key):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Goes to another place, and says which."""
        return int(self._file.seek(offset, whence))

    def close(self) -> None:
        """Forgets what was read ahead."""
        self._file.close()
        super().close()


class Bucket:
    """A bucket, or what is below a prefix of it."""

    def __init__(self, place: str, options: Mapping[str, Any]) -> None:
        self._place = place
        self._options = options
        self._lock = threading.Lock()
        self._connected: tuple[int, Any] | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The one that these settings name."""
        given = {"endpoint_url": settings.MEDIA_S3_ENDPOINT, "region_name": settings.MEDIA_S3_REGION}
        options: dict[str, Any] = {"client_kwargs": {name: value for name, value in given.items() if value}}
        if settings.MEDIA_S3_KEY is not None:
            key, secret = settings.MEDIA_S3_KEY
            options |= {"key": key.get_secret_value(), "secret": secret.get_secret_value()}
        return cls(settings.MEDIA_URL.removeprefix("s3://"), options)

    def incoming(self, key: str) -> IncomingObject:
        """A new multipart upload."""
        with _worded(key):
            while self._files.exists(self._path(key)):
                key = keys.another(key, secrets.token_hex(3))
            file = self._files.open(self._path(key), "wb", block_size=_PART_BYTES, autocommit=False)
        return IncomingObject(key, file, partial(self.delete, key))

    def keep(self, incoming: Incoming) -> None:
        """It stays; it is durable already."""
        assert isinstance(incoming, IncomingObject)  # noqa: S101 - we made it
        incoming.is_kept = True

    def open(self, key: str) -> BinaryIO:
        """The object; reads fetch what they need."""
        size = self.size(key)
        with _worded(key):
            file = self._files.open(self._path(key), "rb", block_size=_READ_AHEAD_BYTES, size=size)
        return cast("BinaryIO", StoredObject(key, file))

    def local_path(self, key: str) -> None:
        """Nowhere on this machine."""

    def size(self, key: str) -> int:
        """Bytes of the object."""
        with _worded(key):
            found = self._files.info(self._path(key))
        if found["type"] != "file":  # what several keys begin with
            raise MediaMissing(key)
        return int(found["size"])

    def delete(self, key: str) -> None:
        """Removes the object."""
        with suppress(MediaMissing), _worded(key):
            self._files.rm_file(self._path(key))

    def check(self) -> None:
        """Writes, reads and removes a small object."""
        wrote, path = secrets.token_bytes(16), f"{self._place}/{_CHECKS}/check-{uuid4().hex}"
        with _worded(path):
            self._files.pipe_file(path, wrote)
            read = self._files.cat_file(path)
            self._files.rm_file(path)
        if read != wrote:
            raise StoreUnavailable("it reads other bytes than were written")

    def tidy(self, older_than_seconds: float = STALE_SECONDS) -> int:
        """Has the store forget uploads that were begun so long ago."""
        bucket, _, prefix = f"{self._place}/".partition("/")
        long_ago = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        with _worded(bucket):
            begun = self._files.list_multipart_uploads(bucket)
            stale = [each for each in begun if each["Key"].startswith(prefix) and each["Initiated"] <= long_ago]
            for each in stale:
                self._files.abort_mpu(bucket, each["Key"], each["UploadId"])
        return len(stale)

    def _path(self, key: str) -> str:
        return "/".join((self._place, *keys.parts_of(key)))

    @property
    def _files(self) -> Any:  # noqa: ANN401 - fsspec has no types
        """The file system of this process, for all its threads; fsspec's own cache makes one for each."""
        with self._lock:
            if self._connected is None or self._connected[0] != os.getpid():
                files = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, **self._options)
                self._connected = os.getpid(), files
            return self._connected[1]


@contextmanager
def _worded(key: str) -> Iterator[None]:
    """The errors of fsspec and boto as ours; they have no addresses and no keys."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise MediaMissing(key) from None
    except _FAILURES as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise StoreUnavailable(reason) from error
