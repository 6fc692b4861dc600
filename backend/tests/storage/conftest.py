"""The media store, in a folder and in a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from app.storage.volume import Volume
from tests.s3_server import own_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from app.storage.media_store import MediaStore
    from tests.s3_server import S3Server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with own_s3() as server:
        yield server


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    (tmp_path / "current").mkdir()
    return Volume(tmp_path / "current")


@pytest.fixture(params=["volume", "bucket"])
def store(request: pytest.FixtureRequest) -> MediaStore:
    """Both kinds, one after the other."""
    found: MediaStore = (
        request.getfixturevalue("volume")
        if request.param == "volume"
        else request.getfixturevalue("s3").bucket(f"recordings/{uuid4().hex}")
    )
    return found
