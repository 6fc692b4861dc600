"""The folder of recordings, which may be exchanged for another at any moment (design §6), fill up or go away."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from app.storage.errors import KeyInvalid, MediaMissing, StoreFull, StoreUnavailable, UploadCutOff
from app.storage.volume import INCOMING, IncomingFile, Volume
from tests.storage.test_media_store import KEY, put, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "current"


def swap(root: Path) -> None:
    """As `./opentr.sh reset dev` does it: current becomes previous, and an empty folder current."""
    root.rename(root.with_name("previous"))
    root.mkdir()


def test_an_exchanged_folder_is_used_at_once(volume: Volume, root: Path) -> None:
    put(volume)
    swap(root)
    with pytest.raises(MediaMissing):
        volume.open(KEY)
    assert put(volume, b"new") == KEY
    assert (root / KEY).read_bytes() == b"new"
    assert (root.with_name("previous") / KEY).stat().st_size == 3_000_000


def test_bytes_that_began_to_come_in_before_an_exchange_stay_on_the_other_side(volume: Volume, root: Path) -> None:
    incoming = volume.incoming(KEY)
    incoming.write(b"one")
    swap(root)
    incoming.write(b"two")
    incoming.finish()
    with pytest.raises(UploadCutOff):
        volume.keep(incoming)
    incoming.discard()
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_while_there_is_no_folder_none_is_made_and_nothing_counts_as_missing(volume: Volume, root: Path) -> None:
    put(volume)
    incoming = written(volume, key="user_1/file_3/other.mp3")
    root.rename(root.with_name("leaving"))
    for use in (volume.open, volume.size, volume.local_path, volume.incoming):
        with pytest.raises(StoreUnavailable):
            use(KEY)
    for use_all in (volume.check, volume.tidy, lambda: volume.keep(incoming)):
        with pytest.raises(StoreUnavailable):
            use_all()
    assert not root.exists()


def test_no_key_reaches_what_comes_in(volume: Volume, root: Path) -> None:
    incoming = written(volume)
    (name,) = (path.name for path in (root / INCOMING).iterdir())
    for key in (f"{INCOMING}/{name}", f"user_1/../{INCOMING}/{name}"):
        with pytest.raises(KeyInvalid):
            volume.open(key)
    incoming.discard()


@pytest.mark.parametrize("target", ["/etc", "..", "loop"])
def test_links_do_not_lead_out(volume: Volume, root: Path, target: str) -> None:
    (root / "loop").symlink_to("loop")
    (root / "user_1").symlink_to(target)
    for use in (volume.open, volume.size, volume.local_path, volume.incoming, volume.delete):
        with pytest.raises((KeyInvalid, MediaMissing, StoreUnavailable)):
            use("user_1/passwd")


def test_a_link_that_stays_inside_may_be_followed(volume: Volume, root: Path) -> None:
    put(volume)
    (root / "alias.mp3").symlink_to(KEY)
    assert volume.size("alias.mp3") == 3_000_000


def test_only_uploads_that_nobody_has_written_to_for_so_long_are_removed(volume: Volume, root: Path) -> None:
    old, young = written(volume), written(volume, key="user_1/file_3/b.mp3")
    hours_ago = time.time() - 7200
    os.utime(old.path, (hours_ago, hours_ago))  # type: ignore[attr-defined]
    assert volume.tidy(3600) == 1
    volume.keep(young)
    assert [path.name for path in root.rglob("*.mp3")] == ["b.mp3"]


def test_a_deleted_recordings_folder_goes_with_it_but_no_other(volume: Volume, root: Path) -> None:
    put(volume)
    other = put(volume, b"x", "user_1/file_3/b.mp3")
    volume.delete(KEY)
    assert not (root / KEY).parent.exists()
    assert (root / other).exists()
    (root / "user_1/file_3/more").write_bytes(b"")
    volume.delete(other)
    assert (root / "user_1/file_3/more").exists()


def test_a_full_disk_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "full").symlink_to("/dev/full")
    with (tmp_path / "full").open("wb", buffering=0) as full:
        incoming = IncomingFile(KEY, tmp_path / "file")
        incoming._file.close()  # noqa: SLF001 - no test has a disk of its own to fill
        incoming._file = full  # noqa: SLF001
        with pytest.raises(StoreFull):
            incoming.write(b"x")
