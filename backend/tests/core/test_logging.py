from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from app.core import logging as log_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "s3cr@t:/va lue"  # noqa: S105 - what must not be logged
ADDRESS = URL.create("postgresql", "app_rw", PASSWORD, "db", 5432, "x").render_as_string(hide_password=False)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    log_lines.configure("INFO", "json", stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_the_libraries_look_alike_and_carry_their_ids(stream: io.StringIO) -> None:
    with log_lines.bound(request_id="r1"), log_lines.bound(task_id="t1"):
        structlog.stdlib.get_logger("app.x").info("ours", number=1)
        logging.getLogger("library").warning("theirs %s", "too")
    logging.getLogger("library").warning("outside")
    ours, theirs, outside = _lines(stream)
    assert (ours["event"], ours["number"], ours["logger"], ours["level"]) == ("ours", 1, "app.x", "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("theirs too", "library", "warning")
    assert {(line["request_id"], line["task_id"]) for line in (ours, theirs)} == {("r1", "t1")}
    assert "request_id" not in outside
    assert "timestamp" in outside


def test_an_id_stays_with_its_own_thread(stream: io.StringIO) -> None:
    def work(name: str) -> None:
        with log_lines.bound(request_id=name):
            structlog.stdlib.get_logger().info(name)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, map(str, range(40))))
    assert all(line["request_id"] == line["event"] for line in _lines(stream))


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger().debug("quiet")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("line_format", ["json", "text"])
def test_secrets_are_blotted_out_wherever_they_stand(line_format: str, stream: io.StringIO) -> None:
    log_lines.configure("INFO", line_format, stream)
    log = structlog.stdlib.get_logger()
    log.info("connecting to %s", ADDRESS, settings={"url": ADDRESS, "db_password": "s3cr"}, many=[ADDRESS])
    logging.getLogger("library").error("no login at %s", ADDRESS)
    try:
        int(ADDRESS)
    except ValueError:
        log.exception("failed", token="s3cr")  # noqa: S106
    assert "s3cr" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
    assert stream.getvalue().count("app_rw:[REDACTED]@db:5432/x") == 5


@pytest.mark.parametrize(
    "text",
    [
        "password='it\\'s s3cr' host=h",
        "ALTER ROLE a PASSWORD='it''s s3cr'",
        'password="a ""s3cr"" b" host=h',
        "host=h password=a,s3cr c=d",
        "host=h password=a\\ s3cr c=d",
        'PGPASSWORD="s3cr" psql',
        "{'password': 's3cr'}",
        "client_secret=s3cr&a=b",
        "Authorization: Bearer s3cr",
        "{'authorization': 'Bearer s3cr'}",
        "(b'authorization', b'Bearer abcdefgh.abcdefgh.s3cr')",
        "GET /a?token=s3cr&b=c",
        "access_token=s3cr",
        '{"access_token": "s3cr"}',
    ],
)
def test_named_passwords_are_blotted_out(text: str) -> None:
    assert "s3cr" not in log_lines.redacted(text)


@given(st.text(min_size=1))
def test_no_password_of_an_address_gets_through(password: str) -> None:
    try:
        address = URL.create("postgresql", "u", password, "host").render_as_string(hide_password=False)
    except UnicodeEncodeError:
        return
    assert log_lines.redacted(f"at {address} now") == "at postgresql://u:[REDACTED]@host now"


def test_text_is_left_alone_where_there_is_no_secret() -> None:
    text = "GET http://host:8080/a?b=c from a@b.c at 12:30, mail to x@y.z"
    assert log_lines.redacted(text) == text
    text = "unexpected token: } after max_tokens=5, Bearer token missing"
    assert log_lines.redacted(text) == text


def test_a_command_that_configures_nothing_has_its_output_to_itself() -> None:
    program = "import app.core.logging, structlog; structlog.stdlib.get_logger('x').warning('careful'); print('data')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "data\n"
    assert "careful" in done.stderr
