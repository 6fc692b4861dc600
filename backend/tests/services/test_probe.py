from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from app.models import MediaFile
from app.services.probe import probe
from app.transcription.container import opened
from tests.recordings import add_file, add_user
from tests.speech import record, silence

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

TAGS = {"title": "Plans", "artist": "Ann", "comment": "first draft", "creation_time": "2024-05-01T10:00:00Z"}


def probed(path: Path) -> dict[str, Any]:
    with path.open("rb") as file, opened(file) as container:
        return probe(container)


def test_a_sound_file(tmp_path: Path) -> None:
    found = probed(record(tmp_path / "talk.flac", silence(3), tags=TAGS))
    assert found["duration"] == pytest.approx(3)
    expected = {
        "media_format": "flac",
        "codec": "flac",
        "audio_channels": 1,
        "audio_sample_rate": 16_000,
        "audio_bit_depth": 16,
        "resolution_width": None,
        "frame_rate": None,
        "title": "Plans",
        "author": "Ann",
        "description": "first draft",
        "creation_date": datetime(2024, 5, 1, 10, tzinfo=UTC),
        "last_modified_date": None,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_video(tmp_path: Path) -> None:
    found = probed(record(tmp_path / "talk.mp4", silence(3), pictures=True))
    expected = {
        "media_format": "mp4",
        "codec": "mpeg4",
        "audio_sample_rate": 16_000,
        "audio_bit_depth": None,
        "resolution_width": 320,
        "resolution_height": 180,
        "aspect_ratio": "16:9",
        "frame_rate": 10.0,
        "frame_count": 30,
    }
    assert {name: found[name] for name in expected} == expected
    assert found["metadata_important"]["audio_codec"] == "aac"


@pytest.mark.parametrize(
    ("ending", "name"), [("mov", "mov"), ("m4a", "m4a"), ("mkv", "matroska"), ("webm", "webm"), ("mp3", "mp3")]
)
def test_a_format_goes_by_the_name_that_people_know(tmp_path: Path, ending: str, name: str) -> None:
    assert probed(record(tmp_path / f"talk.{ending}", silence(1)))["media_format"] == name


def test_a_phone_says_what_it_is(tmp_path: Path) -> None:
    tags = {
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 15",
        "com.apple.quicktime.creationdate": "2024-06-30T08:30:00+0200",
    }
    found = probed(record(tmp_path / "clip.mkv", silence(1), tags=tags))
    assert (found["device_make"], found["device_model"]) == ("Apple", "iPhone 15")
    assert found["creation_date"] == datetime(2024, 6, 30, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2019", datetime(2019, 1, 1, tzinfo=UTC)),
        ("2019-02-03", datetime(2019, 2, 3, tzinfo=UTC)),
        ("0000", None),
        ("last summer", None),
        ("9999-12-31T23:59:59-14:00", None),
    ],
)
def test_a_date_is_read_if_it_is_one(tmp_path: Path, written: str, read: datetime | None) -> None:
    assert probed(record(tmp_path / "talk.flac", silence(1), tags={"date": written}))["creation_date"] == read


def test_whatever_the_tags_hold_the_row_can_hold_it(session: Session, tmp_path: Path) -> None:
    tags = dict.fromkeys(("title", "artist", "make", "model", "comment"), "🎤 é 'x' " * 500)
    found = probed(record(tmp_path / "talk.mkv", silence(1), tags=tags | {f"tag-{n}": "x" for n in range(300)}))
    file = add_file(session, add_user(session), **found)
    session.commit()
    session.expire(file)
    assert len(file.title or "") == 255
    assert len(file.device_make or "") == 100
    assert len(json.dumps(file.metadata_raw)) < 100_000
    assert file.metadata_raw["streams"][0]["codec"] == "aac"


def test_who_says_too_much_is_not_quoted(tmp_path: Path) -> None:
    found = probed(record(tmp_path / "talk.mkv", silence(1), tags={f"tag-{n}": "x" * 9_000 for n in range(100)}))
    assert len(json.dumps(found["metadata_raw"])) < 10_000
    assert found["metadata_raw"]["format"]["name"].startswith("matroska")


def test_each_name_is_a_column(tmp_path: Path) -> None:
    found = probed(record(tmp_path / "talk.mp4", silence(1), pictures=True))
    assert set(found) <= set(MediaFile.__table__.c.keys())
