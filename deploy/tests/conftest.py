"""What the ops tool's tests share: the tool as its users start it, and a terminal to start programs on."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

# A shell that starts us in the background ignores Ctrl-C, nohup ignores that the terminal goes; and so would all the
# programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

CHECKOUT = Path(__file__).resolve().parents[2]

Said = subprocess.CompletedProcess[str]
RunTool = Callable[..., Said]


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """The tool's state of this test; never the user's."""
    return tmp_path / "state"


@pytest.fixture
def environment(state_dir: Path) -> dict[str, str]:
    """Our environment without settings of the user's, and with this test's state."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OPENTR_")}
    return clean | {"OPENTR_STATE_DIR": str(state_dir), "OPENTR_ENV_FILE": "none"}


@pytest.fixture
def opentr(environment: dict[str, str]) -> RunTool:
    """Runs `./opentr.sh` with these words and returns what it said."""

    def run(*words: str, cwd: Path = CHECKOUT, **settings: str) -> Said:
        command = [CHECKOUT / "opentr.sh", *words]
        return subprocess.run(command, cwd=cwd, env=environment | settings, capture_output=True, text=True, check=False)

    return run


class Terminal:
    """A program on a terminal of its own, of which it is the foreground program."""

    def __init__(self, argv: Sequence[str | Path], env: Mapping[str, str]) -> None:
        self._ours, theirs = os.openpty()
        words = ["setsid", "--ctty", *argv]
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
        os.close(theirs)
        self.screen = ""

    def type(self, text: str) -> None:
        """Types these keys; \x03 is Ctrl-C."""
        os.write(self._ours, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads the screen until this text stands on it; fails if the program ends before."""
        while text not in self.screen:
            assert self._read(), f"ended without {text!r}; the screen: {self.screen}"

    def exit_code(self) -> int:
        """Waits for the program's end."""
        while self._read():
            pass
        return self.process.wait()

    def close(self) -> None:
        """Ends the program, if it still runs, and the terminal."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        try:
            part = os.read(self._ours, 4096)
        except OSError:  # EIO: nobody has the other end open any more
            return False
        self.screen += part.decode()
        return bool(part)


@pytest.fixture
def on_terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Starts a program on a terminal of its own."""
    with ExitStack() as stack:
        yield lambda *argv: stack.enter_context(closing(Terminal(argv, environment)))
