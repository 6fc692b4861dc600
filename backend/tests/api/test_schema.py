"""The running API against its own document: a thousand requests, right and wrong ones; none is a failure of ours."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from app.core.security import make_token
from app.db import connect
from app.models import Comment, Speaker, TranscriptSegment
from tests.recordings import add_file, add_user
from tests.servers import HEAD
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

    from tests.redis_server import RedisServer
    from tests.servers import Servers

KEY = "k" * 32
PROGRAM = Path(sys.executable).parent / "schemathesis"
# Not whether all that the document refuses is refused: clients that send "1.5" or true for a number are understood.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "ignored_auth",
    "unsupported_method",
)
CONFIGURATION = """
[headers]
Authorization = "Bearer {token}"

"""


def fill(url: URL) -> str:
    """An administrator who has some of everything; returns a token."""
    with Session(connect.engine_for(url, application_name="tests")) as session:
        user = add_user(session)
        user.is_superuser = True
        for _ in range(3):
            file = add_file(session, user)
            voice = Speaker(user_id=user.id, name="x")
            session.add(voice)
            session.flush()
            said = TranscriptSegment(media_file_id=file.id, speaker_id=voice.id, start_time=0, end_time=1, text="x")
            session.add_all([said, Comment(media_file_id=file.id, user_id=user.id, text="x")])
        session.commit()
        return make_token(user.id, KEY, timedelta(hours=1))


@pytest.mark.timeout(180)
def test_the_api_answers_as_its_document_says(
    servers: Servers, as_role: Callable[[URL, str], URL], broker: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "media").mkdir()
    with servers.with_head(18).clone(HEAD) as database:
        url = as_role(database, "app_rw")
        (tmp_path / "schemathesis.toml").write_text(CONFIGURATION.format(token=fill(url)))
        settings = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "REDIS_URL": broker.url,
            "JWT_SECRET_FILE": str(tmp_path / "key"),
            "MEDIA_ROOT": str(tmp_path / "media"),
            "LOGIN_ATTEMPTS_PER_MINUTE": "1000000",
        }
        with serving(tmp_path, 1, **settings) as api:
            api.until_ready()
            words = ["run", f"http://127.0.0.1:{api.port}/api/openapi.json", "--checks", ",".join(CHECKS)]
            words += ["--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--max-time", "60"]
            words += ["--generation-deterministic", "--no-shrink", "--continue-on-failure", "--no-color"]
            argv = [str(PROGRAM), "--config-file", str(tmp_path / "schemathesis.toml"), *words]
            done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-20_000:]
