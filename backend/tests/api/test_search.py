"""Searching by way of the API; what is found by which words is in tests/services/test_search.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from app.models import FileTag, Speaker, Tag
from app.services.transcripts import replace_segments

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production

START = datetime(2025, 5, 1, 12, tzinfo=UTC)
FILTERS: list[tuple[str, dict[str, Any], str]] = [
    ("", {"q": "elephants"}, "cba"),
    ("", {"query": "elephants"}, "cba"),
    ("/", {"q": "elephants", "query": "nothing"}, "cba"),
    ("", {"q": "elephants", "speaker": "Zoë"}, "b"),
    ("", {"q": "elephants", "speaker": "SPEAKER_00"}, "b"),
    ("", {"q": "elephants", "tag": "Meeting"}, "ba"),
    ("", {"q": "elephants", "tag": ["Meeting", "Personal"]}, "a"),
    ("", {"q": "elephants", "language": "de"}, "b"),
    ("", {"q": "elephants", "language": ["de", "en"]}, "ba"),
    ("", {"q": "a.mp3"}, "a"),
    ("", {"q": ""}, ""),
    ("", {"q": "\0"}, ""),
    ("/advanced", {"q": "elephants"}, "cba"),
    ("/advanced/", {"query": "elephants", "speakers[]": ["Zoë"]}, "b"),
    ("/advanced", {"q": "elephants", "speakers": "Zoë", "tags": "Meeting"}, "b"),
    ("/advanced", {"q": "elephants", "tags[]": ["Meeting", "Personal"]}, "a"),
    ("/advanced", {"q": "elephants", "tag": "Meeting", "tags": "Personal"}, "a"),
    ("/advanced", {"q": "elephants", "start_date": "2025-05-02"}, "cb"),
    ("/advanced", {"q": "elephants", "end_date": "2025-05-02"}, "ba"),
    ("/advanced", {"q": "elephants", "min_duration": 15, "max_duration": 25}, "b"),
    ("/advanced", {"q": "elephants", "language": "en"}, "a"),
]


@pytest.fixture
def found(ann: Person, ben: Person, rows: Session, new_file: Callable[..., int]) -> None:
    """Ann's a, b and c and one of Ben's, all about elephants; Zoë speaks in b."""
    zoe = Speaker(user_id=ann.id, name="SPEAKER_00", display_name="Zoë")
    rows.add(zoe)
    rows.flush()
    tags = {tag.name: tag.id for tag in rows.scalars(select(Tag))}
    for number, (name, language) in enumerate((("a", "en"), ("b", "de"), ("c", None))):
        file_id = new_file(
            ann,
            filename=f"{name}.mp3",
            language=language,
            duration=10.0 * (number + 1),
            upload_time=START + timedelta(days=number),
        )
        said = [
            {"start_time": 0, "end_time": 1, "text": "The elephants.", "speaker_id": zoe.id if name == "b" else None}
        ]
        replace_segments(rows, file_id, said)
        wanted = {"a": ("Meeting", "Personal"), "b": ("Meeting",), "c": ()}[name]
        rows.add_all(FileTag(media_file_id=file_id, tag_id=tags[tag]) for tag in wanted)
    new_file(ben, title="elephants")
    rows.commit()


@pytest.mark.usefixtures("found")
def test_searches_find_the_callers_own_and_filters_narrow(ann: Person) -> None:
    for path, words, names in FILTERS:
        answer = ann.api.get(f"/api/search{path}", params=words)
        assert (path, words, "".join(hit["title"][0] for hit in answer.json())) == (path, words, names)


@pytest.mark.usefixtures("found")
def test_a_hit_is_what_clients_expect(ann: Person) -> None:
    (hit,) = ann.api.get("/api/search", params={"q": "elephants", "speaker": "Zoë"}).json()
    assert hit.keys() == {"id", "title", "speakers", "snippet", "upload_time"}
    assert (hit["title"], hit["speakers"], hit["snippet"]) == ("b.mp3", ["Zoë"], "The elephants.")
    assert datetime.fromisoformat(hit["upload_time"]) == START + timedelta(days=1)


@pytest.mark.usefixtures("found")
def test_pages_of_hits_show_each_once(ann: Person) -> None:
    for path in ("", "/advanced"):
        words: dict[str, Any] = {"q": "elephants", "limit": 1}
        seen = []
        while True:
            answer = ann.api.get(f"/api/search{path}", params=words)
            seen += [hit["title"] for hit in answer.json()]
            if "X-Next-Cursor" not in answer.headers:
                break
            words["cursor"] = answer.headers["X-Next-Cursor"]
        assert seen == ["c.mp3", "b.mp3", "a.mp3"]


def test_a_search_that_can_not_be_is_422(ann: Person) -> None:
    wrong: list[dict[str, Any]] = [{}, {"q": "x" * 1001}, {"q": "x", "limit": 0}, {"q": "x", "cursor": "AAAA"}]
    wrong += [{"q": "x", "speaker": "\0"}, {"q": "x", "tag": ["y"] * 21}, {"q": "x", "language": "x" * 11}]
    for words in wrong:
        for path in ("", "/advanced"):
            assert (words, ann.api.get(f"/api/search{path}", params=words).status_code) == (words, 422)
