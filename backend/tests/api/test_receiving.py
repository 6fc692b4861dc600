"""What comes in: forms as browsers send them are taken apart, and all else is refused, as early as can be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from app.api.receiving import name_of, received, type_of
from app.storage.keys import clean_name
from app.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response

LIMIT = 1_000_000
SOUND = os.urandom(2_500_000)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """An API that receives recordings and keeps none."""
    app, store = FastAPI(), Volume(tmp_path)

    @app.post("/")
    async def receive(request: Request) -> dict[str, Any]:
        async with received(request, LIMIT, lambda name: store.incoming(f"user_1/{clean_name(name)}")) as recording:
            read = (tmp_path / ".incoming" / recording.incoming.path.name).read_bytes()  # type: ignore[attr-defined]
            assert len(read) == recording.incoming.size
            return {"name": recording.filename, "type": recording.content_type, "size": len(read)}

    return TestClient(app)


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path) -> Iterator[None]:
    yield
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("kind", "name", "stored_as"),
    [
        ("audio/x-wav", "a", "audio/x-wav"),
        ("video/mp4", "a.txt", "video/mp4"),
        ("application/octet-stream", "a.MKV", "video/x-matroska"),
        ("application/octet-stream", "a.m4a", "audio/mp4"),
        ("application/ogg", "a.ogg", "audio/ogg"),
        ("binary/octet-stream", "a.wav", "audio/x-wav"),
        ("", "a.b.webm", "video/webm"),
    ],
)
def test_audio_and_video_are_known_by_type_or_by_name(kind: str, name: str, stored_as: str) -> None:
    assert type_of(kind, name) == stored_as


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("text/plain", "talk.mp3"),
        ("image/png", "a.png"),
        ("application/octet-stream", "talk.txt"),
        ("application/octet-stream", "talk"),
        ("application/pdf", "a.pdf"),
        ("audio/", "a"),
        ("audio/" + "x" * 100, "a"),
        ("audio/<b>", "a"),
    ],
)
def test_all_else_is_neither(kind: str, name: str) -> None:
    assert type_of(kind, name) is None


@pytest.mark.parametrize(
    ("name", "shown", "in_key"),
    [
        ("../../etc/passwd.mp3", "passwd.mp3", "passwd.mp3"),
        ("C:\\Users\\ann\\a b.wav", "a b.wav", "a_b.wav"),
        ("Größe und 日本語 (1).mp3", "Größe und 日本語 (1).mp3", "Größe_und_日本語_1.mp3"),
        (".incoming", ".incoming", "incoming"),
        ("..", "recording", "recording"),
        ("", "recording", "recording"),
        ("a/", "recording", "recording"),
        ("a\x00\x01b\x7f\u202e.mp3", "a b .mp3", "a_b.mp3"),
        ("x" * 300 + ".mp3", "x" * 251 + ".mp3", "x" * 116 + ".mp3"),
        ("x." + "y" * 300, "x." + "y" * 253, "x." + "y" * 118),
        ("日" * 100 + ".mp3", "日" * 100 + ".mp3", "日" * 38 + ".mp3"),
        ("\U0001f3a4.mp3", "\U0001f3a4.mp3", "mp3"),
        ("%2e%2e%2fa;b&c'd.mp3", "%2e%2e%2fa;b&c'd.mp3", "2e_2e_2fa_b_c_d.mp3"),
    ],
)
def test_names_are_shown_as_they_are_and_stored_as_words(name: str, shown: str, in_key: str) -> None:
    assert name_of(name) == shown
    assert clean_name(shown) == in_key


def test_a_type_is_taken_without_its_parameters(client: TestClient) -> None:
    answer = client.post("/", files={"file": ("a.webm", b"x", "Audio/WebM; codecs=opus")})
    assert answer.json() == {"name": "a.webm", "type": "audio/webm", "size": 1}


def test_what_is_neither_audio_nor_video_is_415(client: TestClient) -> None:
    answer = client.post("/", files={"file": ("a.txt", SOUND[:LIMIT], "text/plain")})
    assert (answer.status_code, answer.json()["detail"]) == (415, "text/plain is neither audio nor video")


def body(*parts: str, end: str = "--b--\r\n") -> bytes:
    return ("".join(f"--b\r\n{part}\r\n" for part in parts) + end).encode()


FILE = 'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nsound'
TEXT = 'Content-Disposition: form-data; name="file"\r\n\r\nsound'
OTHER = 'Content-Disposition: form-data; name="title"\r\n\r\nmine'
FORM = "multipart/form-data; boundary=b"


def send(client: TestClient, content: bytes, kind: str = FORM) -> Response:
    return client.post("/", content=content, headers={"Content-Type": kind})


def test_other_fields_are_passed_over(client: TestClient) -> None:
    assert send(client, body(OTHER, FILE, OTHER)).json()["size"] == 5


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (body(OTHER), FORM, "no field `file`"),
        (body(FILE, FILE), FORM, "several fields"),
        (body(TEXT), FORM, "is no file"),
        (body(FILE, end=""), FORM, "before its last boundary"),
        (b"", FORM, "before its last boundary"),
        (b"nonsense", FORM, "can't be read"),
        (body(FILE), "multipart/form-data", "send the recording as multipart/form-data"),
        (body(FILE), "multipart/form-data; boundary=" + "b" * 300, "oundary"),
        (body(FILE), "audio/mpeg", "send the recording as multipart/form-data"),
        (b"{}", "application/json", "send the recording as multipart/form-data"),
        (body("X: " + "y" * 10_000 + "\r\n\r\n"), FORM, "can't be read"),
    ],
)
def test_what_is_no_form_with_one_file_is_422(client: TestClient, content: bytes, kind: str, reason: str) -> None:
    answer = send(client, content, kind)
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]


def test_a_recording_of_the_largest_size_is_accepted(client: TestClient) -> None:
    assert client.post("/", files={"file": ("a.mp3", SOUND[:LIMIT], "audio/mpeg")}).json()["size"] == LIMIT


@pytest.mark.parametrize("size", [LIMIT + 1, len(SOUND)])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in chunks"])
def test_a_larger_one_is_413(client: TestClient, size: int, declared: bool) -> None:  # noqa: FBT001 - a parameter
    head, tail = body(FILE).split(b"sound")
    parts = [head, SOUND[:size], tail]
    content: Any = b"".join(parts) if declared else iter(parts)
    answer = client.post("/", content=content, headers={"Content-Type": FORM})
    assert (answer.status_code, answer.json()["detail"]) == (413, f"A recording may have {LIMIT} bytes at most")


def test_a_form_that_is_full_of_other_things_is_422(client: TestClient) -> None:
    large = client.post("/", files={"recording": ("a.mp3", SOUND[:1_500_000], "audio/mpeg")})
    for answer in (send(client, body(*[OTHER] * 25_000, FILE)), large):
        assert answer.status_code == 422
        assert answer.json()["detail"] == "the form holds too much beside the field `file`"
