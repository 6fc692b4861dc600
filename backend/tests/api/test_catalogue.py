"""One recording: reading, changing, correcting, transcribing again and deleting it."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import delete, func, select, text

from app.db.watch import count_statements
from app.models import Analytics, FileTag, MediaFile, Speaker, Tag, Task, TaskStatus, TranscriptSegment
from tests.api.conftest import at_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production


class Recording:
    """Ann's file with three segments, the first two said by Zoë; and speakers of hers and of Ben's."""

    def __init__(self, rows: Session, owner: Person, other: Person, file_id: int) -> None:
        self.id = file_id
        voices = [Speaker(user_id=owner.id, name="Zoë"), Speaker(user_id=owner.id, name="Tom")]
        voices += [Speaker(user_id=other.id, name="Ben's")]
        rows.add_all(voices)
        rows.flush()
        self.zoe, self.tom, self.bens = (voice.id for voice in voices)
        said = [(2.0, self.zoe), (0.0, self.zoe), (4.0, None)]
        segments = [
            TranscriptSegment(
                media_file_id=file_id, start_time=start, end_time=start + 1, text=f"at {start}", speaker_id=voice
            )
            for start, voice in said
        ]
        rows.add_all([*segments, FileTag(media_file_id=file_id, tag_id=rows.scalars(select(Tag.id)).first())])
        rows.commit()
        self.second, self.first, self.third = (segment.id for segment in segments)


@pytest.fixture
def recording(ann: Person, ben: Person, rows: Session, new_file: Callable[..., int]) -> Recording:
    return Recording(rows, ann, ben, new_file(ann, metadata_raw={"a": [1]}, duration=5.0))


def correct(ann: Person, recording: Recording, *changes: dict[str, Any]) -> Any:  # noqa: ANN401 - httpx2's answer
    return ann.api.put(f"/api/files/{recording.id}/transcript", json=list(changes))


def test_a_file_is_shown_with_its_segments_their_speakers_and_its_tags(ann: Person, recording: Recording) -> None:
    answer = ann.api.get(f"/api/files/{recording.id}").json()
    assert [segment["id"] for segment in answer["transcript_segments"]] == [
        recording.first,
        recording.second,
        recording.third,
    ]
    first, _, third = answer["transcript_segments"]
    assert (first["text"], first["start_time"], first["speaker"]["name"]) == ("at 0.0", 0.0, "Zoë")
    assert "embedding_vector" not in first["speaker"]
    assert third["speaker"] is None
    assert answer["tags"] == ["Important"]
    assert answer["metadata_raw"] == {"a": [1]}
    assert answer.keys() >= {column.name for column in MediaFile.__table__.columns}


def test_a_long_transcript_is_read_in_a_few_statements(
    ann: Person, recording: Recording, rows: Session, application: Engine
) -> None:
    voices = [Speaker(user_id=ann.id, name=f"voice {number}", embedding_vector=[0.5] * 10) for number in range(20)]
    rows.add_all(voices)
    rows.flush()
    rows.add_all(
        TranscriptSegment(media_file_id=recording.id, start_time=n, end_time=n, text="x", speaker_id=voices[n % 20].id)
        for n in range(300)
    )
    rows.commit()
    with count_statements(application) as count:
        answer = ann.api.get(f"/api/files/{recording.id}")
    assert len(answer.json()["transcript_segments"]) == 303
    assert len(count) <= 5, count.statements
    assert not any("embedding_vector" in statement for statement in count.statements)


def test_what_is_sent_changes_and_the_rest_stays(ann: Person, recording: Recording) -> None:
    changes = {"filename": "näw.mp3", "status": "error", "summary": "s", "translated_text": "t", "language": "de"}
    answer = ann.api.put(f"/api/files/{recording.id}", json=changes | {"id": 1, "user_id": 1, "storage_path": "../x"})
    assert answer.status_code == 200
    shown = answer.json()
    assert {name: shown[name] for name in changes} == changes
    assert (shown["id"], shown["duration"], shown["storage_path"]) == (recording.id, 5.0, "user_1/file_1/talk.mp3")
    assert ann.api.put(f"/api/files/{recording.id}/", json={"duration": None}).json()["duration"] is None
    assert ann.api.put(f"/api/files/{recording.id}", json={}).json()["language"] == "de"


WRONG = [
    '{"filename": null}',
    '{"filename": "a\\u0000"}',
    '{"filename": "\\ud800"}',
    '{"status": "done"}',
    '{"duration": NaN}',
    '{"duration": 1e400}',
    '{"duration": Infinity}',
    '{"language": "' + "x" * 11 + '"}',
    "[]",
    "null",
    "",
    "{",
    '{"duration": ' + "1" * 400 + "}",
]


def put_raw(ann: Person, recording: Recording, content: bytes) -> Any:  # noqa: ANN401 - httpx2's answer
    headers = {"Content-Type": "application/json"}
    return ann.api.put(f"/api/files/{recording.id}", content=content, headers=headers)


def test_what_a_column_can_not_hold_is_422(ann: Person, recording: Recording) -> None:
    for wrong in WRONG:
        answer = put_raw(ann, recording, wrong.encode())
        assert (wrong, answer.status_code) == (wrong, 422)
        assert answer.json()["detail"]


def test_what_is_no_json_is_the_callers_fault(ann: Person, recording: Recording) -> None:
    for wrong in (b"\xff", b"[" * 100_000, b'{"duration": ' + b"1" * 5000 + b"}"):
        answer = put_raw(ann, recording, wrong)
        assert answer.status_code in (400, 422)
        assert answer.json()["detail"]


def test_times_that_no_sum_can_hold_are_422_and_change_nothing(ann: Person, recording: Recording) -> None:
    for start, end in ((0, 1.7e308), (-1.7e308, 1.7e308)):
        times = {"start_time": start, "end_time": end}
        answer = correct(ann, recording, {"id": recording.first, **times}, {"id": recording.second, **times})
        assert (answer.status_code, answer.json()["detail"]) == (422, "A number is too large to be counted with")
    assert ann.api.get(f"/api/files/{recording.id}").json()["transcript_segments"][0]["end_time"] == 1.0


def test_two_changes_at_once_are_both_kept(ann: Person, recording: Recording, rows: Session) -> None:
    for turn in range(5):
        changes = [{"summary": f"s{turn}"}, {"translated_text": f"t{turn}"}, {"language": f"l{turn}"}]
        threads = [
            threading.Thread(target=ann.api.put, args=(f"/api/files/{recording.id}",), kwargs={"json": change})
            for change in changes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        file = rows.get_one(MediaFile, recording.id, populate_existing=True)
        assert (file.summary, file.translated_text, file.language) == (f"s{turn}", f"t{turn}", f"l{turn}")
        rows.rollback()


BEING_DELETED: list[tuple[str, str, Any]] = [
    ("PUT", "/api/files/{}", {"summary": "x"}),
    ("PUT", "/api/files/{}/transcript", []),
    ("POST", "/api/files/{}/transcribe", None),
    ("POST", "/api/comments/files/{}/comments", {"text": "x"}),
    ("POST", "/api/tags/files/{}/tags", {"name": "x"}),
    ("DELETE", "/api/files/{}", None),
]


def test_who_changes_a_file_that_is_just_being_deleted_is_told_so(
    ann: Person, rows: Session, new_file: Callable[..., int], application: Engine
) -> None:
    for method, path, content in BEING_DELETED:
        file_id = new_file(ann)
        call = partial(ann.api.request, method, path.format(file_id), json=content)
        with at_once(application, rows, call) as statuses:
            rows.execute(delete(MediaFile).where(MediaFile.id == file_id))
        assert (method, path, statuses) == (method, path, [404])


def test_nobody_touches_anothers_file(ben: Person, recording: Recording) -> None:
    path = f"/api/files/{recording.id}"
    answers = [
        ben.api.get(path),
        ben.api.put(path, json={"summary": "x"}),
        ben.api.delete(path),
        ben.api.put(f"{path}/transcript", json=[]),
        ben.api.post(f"{path}/transcribe"),
        ben.api.get(f"{path}/content"),
        ben.api.get(f"{path}/stream-url"),
        ben.api.get("/api/comments", params={"media_file_id": recording.id}),
        ben.api.post("/api/comments", json={"media_file_id": recording.id, "text": "x"}),
        ben.api.get(f"/api/comments/files/{recording.id}/comments"),
        ben.api.post(f"/api/comments/files/{recording.id}/comments", json={"text": "x"}),
        ben.api.post(f"/api/tags/files/{recording.id}/tags", json={"name": "x"}),
        ben.api.delete(f"/api/tags/files/{recording.id}/tags/Important"),
    ]
    assert {answer.status_code for answer in answers} == {404}


def test_a_deleted_file_is_gone_with_its_bytes_and_rows(
    ann: Person, recording: Recording, rows: Session, tmp_path: Path
) -> None:
    bytes_ = tmp_path / "media" / "user_1/file_1/talk.mp3"
    bytes_.parent.mkdir(parents=True)
    bytes_.write_bytes(b"x")
    answer = ann.api.delete(f"/api/files/{recording.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not bytes_.exists()
    assert rows.scalar(select(func.count()).select_from(TranscriptSegment)) == 0
    assert ann.api.delete(f"/api/files/{recording.id}").status_code == 404


def test_a_file_without_bytes_can_be_deleted(ann: Person, new_file: Callable[..., int]) -> None:
    for path in ("user_1/file_1/gone.mp3", "../../etc/passwd", "/etc/passwd", ""):
        assert ann.api.delete(f"/api/files/{new_file(ann, storage_path=path)}").status_code == 204


def test_segments_are_corrected_and_the_figures_follow(ann: Person, recording: Recording, rows: Session) -> None:
    answer = correct(
        ann,
        recording,
        {"id": recording.first, "text": "corrected words", "speaker_id": recording.tom},
        {"id": recording.second, "start_time": 10.5, "end_time": 11.5},
        {"id": recording.second, "text": "twice"},
        {"id": recording.third},
    )
    assert answer.status_code == 200
    shown = {segment["id"]: segment for segment in answer.json()["transcript_segments"]}
    assert list(shown) == [recording.first, recording.third, recording.second]
    assert (shown[recording.first]["text"], shown[recording.first]["speaker"]["name"]) == ("corrected words", "Tom")
    assert (shown[recording.second]["start_time"], shown[recording.second]["text"]) == (10.5, "twice")
    assert ann.api.get(f"/api/files/{recording.id}").json() == answer.json()
    stats = rows.scalars(select(Analytics.speaker_stats)).one()
    assert stats[str(recording.tom)]["words"] == 2
    assert correct(ann, recording, {"id": recording.first, "speaker_id": None}).status_code == 200


def test_of_corrections_all_are_made_or_none(ann: Person, recording: Recording, new_file: Callable[..., int]) -> None:
    before = ann.api.get(f"/api/files/{recording.id}").json()
    good = {"id": recording.first, "text": "changed"}
    wrong = [
        ({"id": recording.second, "speaker_id": recording.bens}, 404),
        ({"id": recording.second, "speaker_id": 2**31 - 1}, 404),
        ({"id": 2**31 - 1, "text": "x"}, 404),
        ({"id": recording.second, "end_time": 1.0}, 422),
        ({"id": recording.second, "start_time": 9}, 422),
        ({"id": recording.second, "start_time": 9, "end_time": 8}, 422),
        ({"id": recording.second, "text": None}, 422),
        ({"id": recording.second, "text": "\0"}, 422),
        ({"id": 2**31, "text": "x"}, 422),
        ({"text": "no id"}, 422),
        ("x", 422),
    ]
    for change, status in wrong:
        assert correct(ann, recording, good, change).status_code == status, change  # type: ignore[arg-type]
    other = new_file(ann)
    assert ann.api.put(f"/api/files/{other}/transcript", json=[good]).status_code == 404
    assert ann.api.get(f"/api/files/{recording.id}").json() == before


def test_a_file_is_transcribed_again_unless_that_is_under_way(ann: Person, recording: Recording, rows: Session) -> None:
    answer = ann.api.post(f"/api/files/{recording.id}/transcribe")
    assert answer.status_code == 200
    task = answer.json()
    assert (task["media_file_id"], task["task_type"], task["status"]) == (recording.id, "transcription", "pending")
    assert ann.api.get(f"/api/tasks/{task['id']}").json() == task
    assert ann.api.post(f"/api/files/{recording.id}/transcribe").status_code == 409
    rows.execute(text("UPDATE task SET status = 'completed'"))
    rows.execute(text("UPDATE media_file SET status = 'completed'"))
    rows.commit()
    again = ann.api.post(f"/api/files/{recording.id}/transcribe/")
    assert again.json()["id"] != task["id"]
    assert ann.api.get(f"/api/files/{recording.id}").json()["status"] == "pending"


@pytest.fixture
def tasks(ann: Person, ben: Person, rows: Session, recording: Recording, new_file: Callable[..., int]) -> None:
    """Ann's four tasks, the last made first, and one of Ben's."""
    other = new_file(ann)
    statuses = (TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.PENDING)
    for number, status in enumerate(statuses):
        file_id = other if number == 1 else recording.id
        task = Task(id=f"t{number}", user_id=ann.id, media_file_id=file_id, task_type="transcription", status=status)
        rows.add(task)
        rows.commit()
    rows.add(Task(id="bens", user_id=ben.id, task_type="transcription", status=TaskStatus.PENDING))
    rows.commit()


@pytest.mark.usefixtures("tasks")
def test_tasks_are_the_callers_own_newest_first(ann: Person, ben: Person, recording: Recording) -> None:
    answer = ann.api.get("/api/tasks")
    assert [task["id"] for task in answer.json()] == ["t3", "t2", "t1", "t0"]
    wanted = {"id", "task_type", "status", "progress", "media_file_id", "error_message", "created_at", "completed_at"}
    assert wanted <= answer.json()[0].keys()
    of_file = ann.api.get("/api/tasks", params={"media_file_id": recording.id, "limit": 2})
    assert [task["id"] for task in of_file.json()] == ["t3", "t2"]
    rest = ann.api.get("/api/tasks", params={"media_file_id": recording.id, "cursor": of_file.headers["X-Next-Cursor"]})
    assert [task["id"] for task in rest.json()] == ["t0"]
    assert ann.api.get("/api/tasks/bens").status_code == 404
    assert ann.api.post("/api/tasks/bens/cancel").status_code == 404
    assert ben.api.get("/api/tasks/bens").status_code == 200
    for odd in ("%00", "x" * 256):
        assert ann.api.get(f"/api/tasks/{odd}").status_code == 422


@pytest.mark.usefixtures("tasks")
def test_an_unfinished_task_is_cancelled_and_a_finished_one_is_not(ann: Person, recording: Recording) -> None:
    for _ in range(2):
        for task_id in ("t3", "t0"):
            answer = ann.api.post(f"/api/tasks/{task_id}/cancel")
            assert answer.status_code == 200
            assert (answer.json()["status"], answer.json()["error_message"]) == ("failed", "cancelled")
    assert ann.api.get(f"/api/files/{recording.id}").json()["status"] == "error"
    for task_id in ("t1", "t2"):
        assert ann.api.post(f"/api/tasks/{task_id}/cancel").status_code == 409
