from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import psycopg2
import pytest
from sqlalchemy import make_url

from app.db import deadline, scratch

if TYPE_CHECKING:
    from sqlalchemy import URL


def ask(url: URL, question: str) -> tuple[object, ...]:
    return deadline.ask(url, question, 0.5, "tests")


def test_it_answers_the_first_row(pooled_database: URL) -> None:
    assert ask(pooled_database, "SELECT 1, 'a' UNION ALL SELECT 2, 'b' ORDER BY 1") == (1, "a")
    assert ask(pooled_database, "SELECT 1 WHERE false") == ()


def test_a_statement_that_takes_too_long_is_given_up_and_so_is_its_session(database: URL) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(database, "SELECT pg_sleep(60)")
    assert 0.5 <= time.monotonic() - began < 1.5


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(TimeoutError):
            ask(make_url(f"postgresql+psycopg2://u@127.0.0.1:{listener.getsockname()[1]}/d"), "SELECT 1")


def test_refusals_and_mistakes_are_the_drivers_errors(database: URL) -> None:
    with pytest.raises(psycopg2.OperationalError):
        ask(make_url(f"postgresql+psycopg2://u@127.0.0.1:{scratch.free_port()}/d"), "SELECT 1")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        ask(database, "SELECT 1 FROM nothing")
