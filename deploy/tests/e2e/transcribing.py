"""A recording that is transcribed while something happens to the services, and what must come of it all the same."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from tests.e2e.watching import sql, wait_until
from tests.speech import TEXT, record, silence, spoken, word_error_rate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.stacks import Stack

TIMES = 4
"""How often the long recording says the text: for long enough to be disturbed."""
WORST_ERROR_RATE = 0.25
WORK_SECONDS = 240
BEGUN = "t.status = 'in_progress' AND t.progress > 0.1"
"""A condition for `wait_until`: a part of it is transcribed."""
TASKS = "task t JOIN media_file f ON f.id = t.media_file_id"


def record_long_talk(path: Path) -> Path:
    """A recording that says the text several times."""
    return record(path, np.concatenate([spoken(), silence(1)] * TIMES))


class Transcribing:
    """`./opentr.sh transcribe FILE --json` at work beside us."""

    def __init__(self, stack: Stack, path: Path, process: subprocess.Popen[str]) -> None:
        self.stack = stack
        self.path = path
        self.process = process

    def wait_until(self, condition: str) -> None:
        """Looks until this is true of the recording's task."""
        asked = f"SELECT count(*) FROM {TASKS} WHERE {self._is_it} AND {condition}"
        wait_until(lambda: self.process.poll() is not None or sql(self.stack, asked) == "1", WORK_SECONDS)
        assert self.process.poll() is None, self.process.communicate()

    def is_done_once(self) -> None:
        """Waits for what it prints in the end, which must be all of the talk, once, and what the database has."""
        out, err = self.process.communicate(timeout=WORK_SECONDS)
        assert self.process.returncode == 0, err
        segments = json.loads(out)["transcript_segments"]
        heard = " ".join(segment["text"] for segment in segments)
        assert word_error_rate(heard, " ".join([TEXT] * TIMES)) < WORST_ERROR_RATE
        assert self._count("media_file f") == 1
        assert self._count(TASKS) == 1
        assert self._count("transcript_segment s JOIN media_file f ON f.id = s.media_file_id") == len(segments)

    def attempts(self) -> int:
        """How often a worker has begun with it, other than one that was stopped in good order."""
        return int(sql(self.stack, f"SELECT attempts FROM {TASKS} WHERE {self._is_it}"))

    def _count(self, rows: str) -> int:
        return int(sql(self.stack, f"SELECT count(*) FROM {rows} WHERE {self._is_it}"))

    @property
    def _is_it(self) -> str:
        return f"f.filename = '{self.path.name}'"


@contextmanager
def transcribing(stack: Stack, path: Path, environment: str = "dev") -> Iterator[Transcribing]:
    """Uploads it, and waits for it beside the block; ended at its end if it still is at work."""
    words = [stack.command, "transcribe", environment, path, "--json"]
    process = subprocess.Popen(words, env=stack.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Transcribing(stack, path, process)
    finally:
        process.kill()
        process.communicate()
