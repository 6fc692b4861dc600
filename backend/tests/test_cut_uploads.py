"""Uploads to the API as a process: clients that are slow or leave, an API that is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from app.core.security import make_token
from app.models import MediaFile
from app.storage.volume import INCOMING, Volume
from tests.recordings import add_user
from tests.serving import Api, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from tests.redis_server import RedisServer

KEY = "k" * 32
SOUND = os.urandom(5_000_000)
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
TAIL = b"\r\n--b--\r\n"


@pytest.fixture
def media(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path / "media"


@pytest.fixture
def api(session: Session, broker: RedisServer, tmp_path: Path, media: Path) -> Iterator[Api]:
    (tmp_path / "key").write_text(KEY)
    url = session.get_bind().engine.url.render_as_string(hide_password=False)
    settings = {"DATABASE_URL": url, "REDIS_URL": broker.url, "JWT_SECRET_FILE": str(tmp_path / "key")}
    with serving(tmp_path, 1, **settings, MEDIA_ROOT=str(media)) as api:
        api.until_ready()
        yield api


@pytest.fixture
def head(session: Session) -> bytes:
    """The beginning of a user's request, and of the form in it."""
    user = add_user(session)
    session.commit()
    token = make_token(user.id, KEY, timedelta(hours=1))
    length = len(HEAD) + len(SOUND) + len(TAIL)
    lines = [
        "POST /api/files HTTP/1.1",
        "Host: api",
        f"Authorization: Bearer {token}",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {length}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + HEAD


def begin(api: Api, head: bytes, media: Path) -> socket.socket:
    """A client that has sent more than a half, of which the API has written something."""
    client = socket.create_connection(("127.0.0.1", int(api.port)), timeout=60)
    client.sendall(head + SOUND[:3_000_000])
    while not incoming(media) or not incoming(media)[0].stat().st_size:
        assert api.process.poll() is None
    return client


def incoming(media: Path) -> list[Path]:
    return list((media / INCOMING).glob("[!c]*")) if (media / INCOMING).exists() else []


def answer(client: socket.socket) -> tuple[int, dict[str, object]]:
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, json.loads(response.read())


def rows(session: Session) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(MediaFile)) or 0


def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    api: Api, head: bytes, media: Path, session: Session
) -> None:
    client = begin(api, head, media)
    client.close()
    while incoming(media):
        assert api.process.poll() is None
    assert rows(session) == 0
    while '"status": 499' not in api.log.read_text():
        assert api.process.poll() is None
    assert "Traceback" not in api.log.read_text()


def test_a_slow_client_keeps_nobody_waiting_and_is_served(api: Api, head: bytes, media: Path, session: Session) -> None:
    slow = [begin(api, head, media) for _ in range(20)]
    assert rows(session) == 0
    quick = begin(api, head, media)
    quick.sendall(SOUND[3_000_000:] + TAIL)
    assert answer(quick)[0] == 200
    for client in slow:
        client.sendall(SOUND[3_000_000:] + TAIL)
        assert answer(client)[0] == 200
        client.close()
    quick.close()
    assert (rows(session), incoming(media)) == (21, [])


def test_an_api_that_is_killed_in_the_middle_leaves_what_is_tidied_up_later(
    api: Api, head: bytes, media: Path, session: Session
) -> None:
    client = begin(api, head, media)
    os.kill(api.process.pid, signal.SIGKILL)
    api.process.wait()
    client.close()
    assert (rows(session), len(incoming(media))) == (0, 1)
    assert Volume(media).tidy(0) == 1
    assert incoming(media) == []


def test_an_api_that_is_stopped_lets_uploads_end(api: Api, head: bytes, media: Path, session: Session) -> None:
    client = begin(api, head, media)
    api.process.terminate()
    while "Waiting for" not in api.log.read_text() and "Shutting down" not in api.log.read_text():
        assert api.process.poll() is None
    client.sendall(SOUND[3_000_000:] + TAIL)
    status, file = answer(client)
    client.close()
    assert status == 200
    assert (media / str(file["storage_path"])).read_bytes() == SOUND
    assert rows(session) == 1
    assert api.process.wait(20) in (0, -15)
