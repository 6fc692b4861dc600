from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from sqlalchemy import func, select

from app.models import Comment, FileTag, Tag
from app.services import tags
from tests.api.conftest import at_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production


@pytest.fixture
def file_id(ann: Person, new_file: Callable[..., int]) -> int:
    return new_file(ann)


def test_comments_are_written_read_changed_and_deleted(ann: Person, file_id: int) -> None:
    first = ann.api.post("/api/comments", json={"media_file_id": file_id, "text": "whole", "user_id": 1})
    second = ann.api.post(f"/api/comments/files/{file_id}/comments/", json={"text": "here", "timestamp": 1.5})
    assert (first.status_code, second.status_code) == (200, 200)
    assert (first.json()["timestamp"], first.json()["user_id"], second.json()["timestamp"]) == (None, ann.id, 1.5)
    both = [first.json(), second.json()]
    assert ann.api.get("/api/comments/", params={"media_file_id": file_id}).json() == both
    assert ann.api.get(f"/api/comments/files/{file_id}/comments").json() == both
    path = f"/api/comments/{both[1]['id']}"
    assert ann.api.get(path).json() == both[1]
    assert ann.api.put(path, json={"timestamp": None}).json() == both[1] | {"timestamp": None}
    assert ann.api.put(path, json={"text": "there", "media_file_id": 1}).json()["media_file_id"] == file_id
    assert ann.api.delete(path).status_code == 204
    assert [ann.api.request(method, path, json={}).status_code for method in ("GET", "PUT", "DELETE")] == [404] * 3


def test_a_comment_that_can_not_be_is_422(ann: Person, file_id: int) -> None:
    assert ann.api.get("/api/comments").status_code == 422
    for wrong in ('{"text": null}', '{"text": "\\u0000"}', '{"text": "x", "timestamp": NaN}', '{"timestamp": 1}', "{}"):
        headers = {"Content-Type": "application/json"}
        answer = ann.api.post(f"/api/comments/files/{file_id}/comments", content=wrong, headers=headers)
        assert (wrong, answer.status_code) == (wrong, 422)
    for number in (0, 2**31, "NaN"):
        assert ann.api.get("/api/comments", params={"media_file_id": number}).status_code == 422
    assert ann.api.post("/api/comments", json={"media_file_id": 2**31, "text": "x"}).status_code == 422
    assert ann.api.post("/api/comments", json={"media_file_id": 2**31 - 1, "text": "x"}).status_code == 404


def test_only_the_writer_changes_a_comment_and_the_files_owner_deletes_it(
    ann: Person, ben: Person, person: Callable[..., Person], file_id: int, rows: Session
) -> None:
    comment = Comment(media_file_id=file_id, user_id=ben.id, text="Ben's")  # as an older instance may hold one
    rows.add(comment)
    rows.commit()
    path = f"/api/comments/{comment.id}"
    assert ann.api.get(path).json()["text"] == "Ben's"
    refused = ann.api.put(path, json={"text": "x"})
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        f"comment {comment.id} was written by somebody else",
    )
    assert ben.api.put(path, json={"text": "mine"}).json()["text"] == "mine"
    stranger = person()
    assert [stranger.api.request(method, path, json={}).status_code for method in ("GET", "PUT", "DELETE")] == [404] * 3
    assert ann.api.delete(path).status_code == 204


def names(person: Person, path: str = "/api/tags") -> list[str]:
    return [tag["name"] for tag in person.api.get(path).json()]


def test_a_tag_that_exists_is_answered_as_it_is(ann: Person, ben: Person) -> None:
    assert names(ann) == ["Important", "Interview", "Meeting", "Personal"]
    first = ann.api.post("/api/tags", json={"name": " Été "})
    again = ben.api.post("/api/tags/", json={"name": "Été"})
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert first.json()["name"] == "Été"
    assert names(ben)[-1] == "Été"
    for wrong in ({}, {"name": ""}, {"name": " "}, {"name": "x" * 51}, {"name": "\0"}, {"name": None}):
        assert ann.api.post("/api/tags", json=wrong).status_code == 422


@pytest.mark.parametrize("slash", ["", "/"])
def test_tags_are_put_on_files_and_taken_off(ann: Person, file_id: int, slash: str) -> None:
    path = f"/api/tags/files/{file_id}/tags"
    for name in ("a/b", "a/", "Straße", "50%", "x?y#z", "unused"):
        for _ in range(2):
            assert ann.api.post(f"{path}{slash}", json={"name": name}).json()["name"] == name
        assert ann.api.get(f"/api/files/{file_id}").json()["tags"] == [name]
        assert ann.api.delete(f"{path}/{quote(name, safe='')}{slash}").status_code == 204
        assert ann.api.delete(f"{path}/{quote(name, safe='')}{slash}").status_code == 404
    assert ann.api.delete(f"{path}/%00").status_code == 422
    assert ann.api.delete(f"{path}/{'x' * 51}").status_code == 422


def test_a_tag_goes_by_the_name_that_it_was_put_on_with(ann: Person, file_id: int) -> None:
    path = f"/api/tags/files/{file_id}/tags"
    assert ann.api.post(path, json={"name": " urgent "}).json()["name"] == "urgent"
    assert ann.api.delete(f"{path}/%20urgent%20").status_code == 204


def test_unused_tags_are_listed_and_cleaned_up(ann: Person, ben: Person, file_id: int) -> None:
    ann.api.post(f"/api/tags/files/{file_id}/tags", json={"name": "Meeting"})
    assert names(ben, "/api/tags/unused") == ["Important", "Interview", "Personal"]
    assert ben.api.delete("/api/tags/cleanup").status_code == 204
    assert names(ben) == ["Meeting"]
    assert names(ben, "/api/tags/unused") == []
    assert ben.api.delete("/api/tags/cleanup/").status_code == 204


def test_a_tag_that_is_just_being_put_on_a_file_is_not_cleaned_up(
    ann: Person, file_id: int, rows: Session, application: Engine
) -> None:
    with at_once(application, rows, lambda: ann.api.delete("/api/tags/cleanup")) as statuses:
        tags.put_on(rows, ann.id, file_id, "Interview")
    assert statuses == [204]
    assert ann.api.get(f"/api/files/{file_id}").json()["tags"] == ["Interview"]
    assert names(ann) == ["Interview"]


def test_of_many_who_make_one_tag_at_once_all_get_the_same(ann: Person, file_id: int, rows: Session) -> None:
    answers = list[int]()

    def put_on() -> None:
        answers.append(ann.api.post(f"/api/tags/files/{file_id}/tags", json={"name": "new"}).json()["id"])

    threads = [threading.Thread(target=put_on) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert rows.scalar(select(func.count()).select_from(FileTag)) == 1
    assert rows.scalar(select(func.count()).where(Tag.name == "new")) == 1
