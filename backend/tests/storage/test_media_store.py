"""What every media store does, wherever it keeps the bytes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from app.storage.errors import KeyInvalid, MediaMissing, StoreUnavailable

if TYPE_CHECKING:
    from app.storage.media_store import Incoming, MediaStore

KEY = "user_1/file_2/talk.mp3"
BYTES = os.urandom(3_000_000)


def put(store: MediaStore, data: bytes = BYTES, key: str = KEY) -> str:
    incoming = written(store, data, key)
    store.keep(incoming)
    incoming.discard()
    return incoming.key


def written(store: MediaStore, data: bytes = BYTES, key: str = KEY) -> Incoming:
    incoming = store.incoming(key)
    for start in range(0, len(data), 1_000_000):
        incoming.write(data[start : start + 1_000_000])
    incoming.finish()
    return incoming


def finish_and_keep(store: MediaStore, incoming: Incoming) -> None:
    incoming.finish()
    store.keep(incoming)


@pytest.mark.parametrize("data", [BYTES, b"", b"x"], ids=["long", "empty", "a byte"])
def test_what_was_kept_is_read_as_it_came(store: MediaStore, data: bytes) -> None:
    assert put(store, data) == KEY
    with store.open(KEY) as file:
        assert file.read() == data
    assert store.size(KEY) == len(data)


def test_a_file_can_be_read_from_anywhere_in_it(store: MediaStore) -> None:
    put(store)
    with store.open(KEY) as file:
        assert file.seek(0, 2) == len(BYTES)
        file.seek(2_000_000)
        assert file.read(5) == BYTES[2_000_000:2_000_005]


def test_a_local_path_is_the_files_own_if_there_is_one(store: MediaStore) -> None:
    put(store)
    path = store.local_path(KEY)
    assert path is None or path.read_bytes() == BYTES


def test_nothing_is_there_before_it_is_complete(store: MediaStore) -> None:
    incoming = store.incoming(KEY)
    incoming.write(BYTES)
    with pytest.raises(MediaMissing):
        store.open(KEY)
    finish_and_keep(store, incoming)
    assert store.size(KEY) == len(BYTES) == incoming.size


def test_what_is_discarded_leaves_nothing(store: MediaStore) -> None:
    incoming = store.incoming(KEY)
    incoming.write(BYTES)
    incoming.discard()
    incoming.discard()
    finished = written(store)
    finished.discard()
    with pytest.raises(MediaMissing):
        store.size(KEY)
    assert store.tidy(0) == 0


def test_a_file_is_never_written_over(store: MediaStore) -> None:
    put(store)
    other = put(store, b"other")
    assert other != KEY
    assert other.startswith("user_1/file_2/talk-")
    assert other.endswith(".mp3")
    assert (store.size(KEY), store.size(other)) == (len(BYTES), 5)


def test_a_deleted_file_is_gone_and_may_be_deleted_again(store: MediaStore) -> None:
    put(store)
    store.delete(KEY)
    store.delete(KEY)
    for read in (store.open, store.size):
        with pytest.raises(MediaMissing):
            read(KEY)


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "../a", "user_1/../../a", "user_1//a", "user_1/./a", ".incoming/a", "a\0b", "a\\..\\b", "a/"],
)
def test_a_key_that_leads_elsewhere_is_refused(store: MediaStore, key: str) -> None:
    for use in (store.open, store.size, store.local_path, store.delete, store.incoming):
        if use == store.local_path and store.__class__.__name__ == "Bucket":
            continue
        with pytest.raises(KeyInvalid):
            use(key)


@pytest.mark.parametrize("key", ["käse und brot/größe 1.MP3", "user_1/file_1/a b+c&d'e\"f.wav", "loose.mp3"])
def test_keys_of_older_rows_are_read_as_they_are(store: MediaStore, key: str) -> None:
    assert put(store, b"old", key) == key
    with store.open(key) as file:
        assert file.read() == b"old"


@pytest.mark.parametrize("key", ["user_1", "user_1/file_2", "user_1/file_2/talk.mp3/more", "x" * 300])
def test_what_is_no_file_is_missing(store: MediaStore, key: str) -> None:
    put(store)
    with pytest.raises(MediaMissing):
        store.open(key)


def test_a_store_that_works_passes_its_check_and_keeps_nothing_of_it(store: MediaStore) -> None:
    store.check()
    assert store.tidy(0) == 0


def test_uploads_that_never_ended_are_removed_by_age(store: MediaStore) -> None:
    incoming = store.incoming(KEY)
    incoming.write(os.urandom(9 * 1024**2))
    assert store.tidy(0) == 1
    assert store.tidy(0) == 0
    with pytest.raises(StoreUnavailable):
        finish_and_keep(store, incoming)
