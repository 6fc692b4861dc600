"""One question to a database whose answer is waited for so long and no longer, even where nothing answers at all.

A `statement_timeout` is the server's, and a server that hangs keeps no time. So the driver is asked without blocking.
Source: psycopg2's manual, "Asynchronous support".
"""

from __future__ import annotations

import select
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ

if TYPE_CHECKING:
    from sqlalchemy import URL


def ask(url: URL, question: str, seconds: float, application_name: str) -> tuple[Any, ...]:
    """The first row that answers the question, on a connection of its own.

    Raises `TimeoutError` after `seconds`, and the driver's errors.
    """
    until = time.monotonic() + seconds
    words = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    with closing(psycopg2.connect(**words, application_name=application_name, async_=True)) as connection:
        _wait(connection, until)
        cursor = connection.cursor()
        cursor.execute(question)
        _wait(connection, until)
        row: tuple[Any, ...] = cursor.fetchone() or ()
        return row


def _wait(connection: Any, until: float) -> None:  # noqa: ANN401 - psycopg2's connection has no public stub
    while (state := connection.poll()) != POLL_OK:
        waiting = select.poll()
        waiting.register(connection.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        left = until - time.monotonic()
        if left <= 0 or not waiting.poll(left * 1000):
            raise TimeoutError
