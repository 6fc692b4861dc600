"""What is special about a bucket: it may go away while somebody reads, and others may use it too."""

from __future__ import annotations

import os

import pytest

from app.storage.errors import StoreUnavailable
from tests.s3_server import BUCKET, own_s3
from tests.storage.test_media_store import KEY, put


def test_a_store_that_goes_away_while_somebody_reads_is_unavailable_and_no_fault_of_the_file() -> None:
    with own_s3() as server:
        store = server.bucket()
        put(store, os.urandom(9 * 1024**2))
        with store.open(KEY) as file:
            assert len(file.read(5)) == 5
            server.process.kill()
            server.process.wait()
            file.seek(8 * 1024**2)
            with pytest.raises(StoreUnavailable):
                file.read(5)


def test_tidying_below_a_prefix_leaves_the_uploads_of_those_who_share_the_bucket() -> None:
    with own_s3() as server:
        ours, theirs = server.bucket(f"{BUCKET}/media"), server.bucket(f"{BUCKET}/media-of-others")
        for store in (ours, theirs):
            store.incoming(KEY).write(os.urandom(9 * 1024**2))
        assert ours.tidy(0) == 1
        assert theirs.tidy(0) == 1
