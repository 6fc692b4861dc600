"""A recording and its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.working import enqueue, new_file

if TYPE_CHECKING:
    from sqlalchemy import Engine


@pytest.fixture
def file_id(application: Engine) -> int:  # noqa: ARG001 - whose database the calls change
    """A recording without tasks."""
    return new_file()


@pytest.fixture
def task_id(file_id: int) -> str:
    """A task that transcribes it, waiting."""
    return enqueue(file_id)
