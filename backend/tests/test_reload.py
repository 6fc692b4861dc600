"""`python -m app.reload` over real programs, in a folder of their own: what it keeps running, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app import reload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 30
# Each program tells its process id by a line of its own in a file.
TELLS = "import os, signal, sys, time; print(os.getpid(), file=open('runs', 'a'), flush=True)\n"
STAYS = f"{TELLS}while True: time.sleep(0.05)"


class Keeper:
    """The keeper at work in a folder with an `app` of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        log = (folder / "log").open("w")
        self.process = subprocess.Popen([sys.executable, "-m", "app.reload", *words], cwd=folder, stdout=log)
        log.close()

    @property
    def runs(self) -> list[int]:
        """The programs that were started, by their process ids."""
        place = self.folder / "runs"
        return [int(line) for line in place.read_text().splitlines()] if place.exists() else []

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def await_run(self, number: int) -> int:
        """The process id of the program's run of this number, the first is 1."""
        wait_until(lambda: len(self.runs) >= number)
        return self.runs[number - 1]

    def change(self, text: str) -> None:
        """Somebody edits the code."""
        (self.folder / "app/edited.py").write_text(text)

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
        return port


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    """Begins to keep a program of Python: its code, then words for it."""
    package = tmp_path / "app"
    package.mkdir()
    for name in ("__init__.py", "reload.py"):
        shutil.copy(Path(reload.__file__).with_name(name), package)
    made: list[Keeper] = []

    def begin(code: str, *words: str, bind: str = "", program: str = sys.executable) -> Keeper:
        options = ["--bind", bind] if bind else []
        made.append(Keeper(tmp_path, *options, program, "-c", code, *words))
        return made[-1]

    yield begin
    for each in made:
        each.process.kill()
        each.process.wait()
        for pid in each.runs:
            if is_there(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_program_that_is_killed_is_started_again(keep: Callable[..., Keeper]):
    keeper = keep(STAYS)
    os.kill(keeper.await_run(1), signal.SIGKILL)
    keeper.await_run(2)
    assert "the program has ended (SIGKILL)" in keeper.log
    assert keeper.process.poll() is None


def test_a_program_that_ends_at_once_is_started_again_and_again_ever_more_slowly(keep: Callable[..., Keeper]):
    keeper = keep(f"{TELLS}sys.exit(3)")
    keeper.await_run(3)
    assert "(exit code 3) and is started again in 1 s" in keeper.log
    assert "(exit code 3) and is started again in 2 s" in keeper.log


def test_the_pause_grows_to_its_limit_and_begins_anew_after_a_long_run():
    program = reload.Program([], None, reload.Told())
    assert [program._next_pause(0.1) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]  # noqa: SLF001
    assert program._next_pause(reload.LONG_SECONDS) == 0  # noqa: SLF001
    assert program._next_pause(0.1) == 1  # noqa: SLF001


def test_a_change_of_the_code_starts_it_anew_and_so_ends_a_pause(keep: Callable[..., Keeper]):
    keeper = keep(f"{TELLS}sys.exit(3)")
    keeper.await_run(4)
    wait_until(lambda: "again in 8 s" in keeper.log)
    keeper.change("# mended")
    keeper.await_run(5)
    wait_until(lambda: keeper.log.count("started again in 1 s") == 2)
    assert "edited.py changed: the program is started anew" in keeper.log


def test_a_changed_program_is_asked_to_end_and_may_finish(keep: Callable[..., Keeper]):
    finishing = f"{TELLS}signal.signal(15, lambda *_: (time.sleep(0.5), print('finished', flush=True), sys.exit()))\n"
    keeper = keep(f"{finishing}while True: time.sleep(0.05)")
    first = keeper.await_run(1)
    keeper.change("# changed")
    keeper.await_run(2)
    assert "finished" in keeper.log
    assert not is_there(first)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_its_program(keep: Callable[..., Keeper], number: signal.Signals):
    keeper = keep(STAYS)
    pid = keeper.await_run(1)
    keeper.process.send_signal(number)
    assert keeper.process.wait(PATIENCE_SECONDS) == 0
    assert not is_there(pid)


def test_told_to_end_while_it_starts_anew_it_starts_nothing_and_a_deaf_program_is_killed(keep: Callable[..., Keeper]):
    keeper = keep(f"{TELLS}signal.signal(15, signal.SIG_IGN)\nprint('deaf', flush=True)\nwhile True: time.sleep(0.05)")
    wait_until(lambda: "deaf" in keeper.log)
    keeper.change("# changed")
    wait_until(lambda: "is started anew" in keeper.log)
    assert keeper.end() == 0
    assert len(keeper.runs) == 1
    assert not is_there(keeper.runs[0])


def test_a_signal_without_a_name_is_told_by_its_number(keep: Callable[..., Keeper]):
    keeper = keep(STAYS)
    os.kill(keeper.await_run(1), signal.SIGRTMIN + 1)
    keeper.await_run(2)
    assert f"(signal {signal.SIGRTMIN + 1})" in keeper.log


def test_it_ends_also_between_two_runs(keep: Callable[..., Keeper]):
    keeper = keep(f"{TELLS}sys.exit(3)")
    wait_until(lambda: "again in 2 s" in keeper.log)
    assert keeper.end() == 0


def test_a_program_that_can_not_be_started_is_tried_again(tmp_path: Path, keep: Callable[..., Keeper]):
    keeper = keep(STAYS, program=str(tmp_path / "program"))
    wait_until(lambda: "can't be started" in keeper.log)
    (tmp_path / "program").symlink_to(sys.executable)
    assert is_there(keeper.await_run(1))


def test_nobody_waits_for_a_program_that_ends_at_once_again_and_again(keep: Callable[..., Keeper]):
    port = free_port()
    keeper = keep(f"{TELLS}sys.exit(3)", bind=f"127.0.0.1:{port}")
    wait_until(lambda: "again in 4 s" in keeper.log)
    with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)) as connection:
        assert connection.recv(100) == b""


def test_no_connection_is_refused_while_the_program_is_away(keep: Callable[..., Keeper]):
    port = free_port()
    answering = "import socket; s = socket.socket(fileno=int(sys.argv[1]))\nc, _ = s.accept(); c.sendall(b'answer')"
    keeper = keep(f"{TELLS}{answering}\nsys.exit(3)", "{socket}", bind=f"127.0.0.1:{port}")
    keeper.await_run(1)
    for run in (1, 2):  # each run answers one and ends
        with closing(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)) as connection:
            assert connection.recv(100) == b"answer", run


def test_without_a_program_it_says_what_is_missing():
    argv = [sys.executable, "-m", "app.reload"]
    said = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(reload.__file__).parents[1])
    assert said.returncode == 2
    assert "which program?" in said.stderr
