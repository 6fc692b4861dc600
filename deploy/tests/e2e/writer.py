"""The program of the load's container: it writes as the application does, and tells each write that was acknowledged.

    python writer.py RUN PAUSE_MS FILE_ID...

A thread writes for each of these media files. One write is one transaction that leaves a task, a comment and a count,
all under one key. A write that failed is tried again under its key until it is acknowledged: what became of a commit
whose answer was lost is asked, not guessed. It ends when its standard input does.
"""

from __future__ import annotations

import sys
import threading

from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from app.db.session_utils import session_scope
from app.models.media import Comment, MediaFile, Task, TaskStatus

ADMIN_ID = 1
_ended = threading.Event()
_telling = threading.Lock()


def write(key: str, file_id: int) -> None:
    """Leaves the key once, however often it is called."""
    with session_scope() as session:
        if session.get(Task, key):
            return
        work = {"user_id": ADMIN_ID, "media_file_id": file_id}
        session.add(Task(id=key, task_type="load", status=TaskStatus.PENDING, **work))
        session.add(Comment(text=key, **work))
        count = update(MediaFile).where(MediaFile.id == file_id).values(frame_count=MediaFile.frame_count + 1)
        session.execute(count.execution_options(synchronize_session=False))


def tell(*words: str) -> None:
    """A line to whoever started us, at once."""
    with _telling:
        sys.stdout.write(" ".join(words) + "\n")
        sys.stdout.flush()


def keep_writing(run: str, file_id: int, pause_seconds: float) -> None:
    """One write after the other."""
    number = 0
    while not _ended.is_set():
        key = f"{run}-{file_id}-{number}"
        try:
            write(key, file_id)
        except SQLAlchemyError as error:
            tell("failed", key, " ".join(str(getattr(error, "orig", None) or error).split()))
        else:
            tell("acknowledged", key)
            number += 1
        _ended.wait(pause_seconds)


def main() -> None:
    """Writes until standard input ends."""
    run, pause, *files = sys.argv[1:]
    threads = [threading.Thread(target=keep_writing, args=(run, int(file), int(pause) / 1000)) for file in files]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    _ended.set()


if __name__ == "__main__":
    main()
