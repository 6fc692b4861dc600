from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select

from app.models import Analytics, Speaker, TranscriptSegment
from app.services.transcripts import replace_segments
from tests.api.conftest import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production


@pytest.fixture
def voices(ann: Person, rows: Session, new_file: Callable[..., int]) -> tuple[int, int]:
    """Two speakers of Ann's, who speak in turn in two files."""
    ids = tuple(ann.api.post("/api/speakers", json={"name": name}).json()["id"] for name in "ab")
    for _ in range(2):
        said = [{"start_time": n, "end_time": n + 1, "text": "x", "speaker_id": ids[n % 2]} for n in range(6)]
        replace_segments(rows, new_file(ann), said)
    rows.commit()
    return ids[0], ids[1]


def spoken(rows: Session, speaker_id: int | None) -> int:
    said = TranscriptSegment.speaker_id.is_not_distinct_from(speaker_id)
    return rows.scalar(select(func.count()).select_from(TranscriptSegment).where(said)) or 0


def test_a_speaker_needs_only_a_name(ann: Person) -> None:
    answer = ann.api.post("/api/speakers/", json={"name": "SPEAKER_00", "uuid": "mine", "user_id": 1})
    assert answer.status_code == 200
    made = answer.json()
    assert UUID(made["uuid"]).version == 4
    assert (made["name"], made["display_name"], made["verified"], made["user_id"]) == (
        "SPEAKER_00",
        None,
        False,
        ann.id,
    )
    path = f"/api/speakers/{made['id']}"
    assert ann.api.get(path).json() == made
    changed = ann.api.put(path, json={"display_name": "Zoë", "verified": True, "uuid": "mine"}).json()
    assert changed == made | {"display_name": "Zoë", "verified": True}
    assert ann.api.get("/api/speakers").json() == [changed]
    for wrong in ({}, {"name": None}, {"name": "x" * 256}, {"name": "\0"}, {"name": "x", "verified": None}):
        assert ann.api.post("/api/speakers", json=wrong).status_code == 422


def test_nobody_sees_or_touches_anothers_speaker(ann: Person, ben: Person, voices: tuple[int, int]) -> None:
    bens = ben.api.post("/api/speakers", json={"name": "b"}).json()["id"]
    for path in (f"/api/speakers/{voices[0]}", f"/api/speakers/{2**31 - 1}"):
        assert ben.api.get(path).status_code == 404
        assert ben.api.put(path, json={"name": "x"}).status_code == 404
        assert ben.api.delete(path).status_code == 404
        assert ben.api.post(f"{path}/merge/{bens}").status_code == 404
    assert ben.api.post(f"/api/speakers/{bens}/merge/{voices[0]}").status_code == 404
    assert [each["id"] for each in ben.api.get("/api/speakers").json()] == [bens]
    assert [each["id"] for each in ann.api.get("/api/speakers").json()] == list(voices)


def test_pages_of_speakers(ann: Person, voices: tuple[int, int]) -> None:
    first = ann.api.get("/api/speakers", params={"limit": 1})
    rest = ann.api.get("/api/speakers", params={"limit": 1, "cursor": first.headers["X-Next-Cursor"]})
    assert [first.json()[0]["id"], rest.json()[0]["id"]] == list(voices)
    assert "X-Next-Cursor" not in rest.headers


def test_what_a_deleted_speaker_said_stays(ann: Person, voices: tuple[int, int], rows: Session) -> None:
    assert ann.api.delete(f"/api/speakers/{voices[0]}").status_code == 204
    assert (spoken(rows, None), spoken(rows, voices[1])) == (6, 6)
    assert all("unknown" in stats for stats in rows.scalars(select(Analytics.speaker_stats)))
    assert ann.api.delete(f"/api/speakers/{voices[0]}").status_code == 404


def test_merging_moves_all_that_was_said_and_the_figures(ann: Person, voices: tuple[int, int], rows: Session) -> None:
    source, target = voices
    answer = ann.api.post(f"/api/speakers/{source}/merge/{target}")
    assert (answer.status_code, answer.json()["id"]) == (200, target)
    assert spoken(rows, target) == 12
    assert [list(stats) for stats in rows.scalars(select(Analytics.speaker_stats))] == [[str(target)]] * 2
    assert ann.api.get(f"/api/speakers/{source}").status_code == 404
    assert ann.api.post(f"/api/speakers/{source}/merge/{target}").status_code == 404
    assert ann.api.post(f"/api/speakers/{target}/merge/{target}").status_code == 422


@pytest.mark.parametrize("silent", [False, True])
def test_two_who_are_merged_into_each_other_at_once_leave_one(
    ann: Person,
    voices: tuple[int, int],
    rows: Session,
    application: Engine,
    silent: bool,  # noqa: FBT001
) -> None:
    if silent:
        rows.execute(delete(TranscriptSegment))
        rows.commit()
    calls = [
        lambda source=source, target=target: ann.api.post(f"/api/speakers/{source}/merge/{target}")
        for source, target in (voices, voices[::-1])
    ]
    with at_once(application, rows, *calls) as statuses:
        rows.scalars(select(Speaker).with_for_update()).all()
    assert statuses == [200, 404]
    (left,) = rows.scalars(select(Speaker.id))
    assert spoken(rows, left) == (0 if silent else 12)


def test_what_is_written_during_a_merge_is_moved_too(
    ann: Person, voices: tuple[int, int], rows: Session, application: Engine
) -> None:
    source, target = voices
    file_id = rows.scalars(select(TranscriptSegment.media_file_id)).first()
    assert file_id
    said = [{"start_time": 0, "end_time": 1, "text": "late", "speaker_id": source}]
    with at_once(application, rows, lambda: ann.api.post(f"/api/speakers/{source}/merge/{target}")) as statuses:
        replace_segments(rows, file_id, said)
    assert statuses == [200]
    assert (spoken(rows, None), spoken(rows, target)) == (0, 7)
