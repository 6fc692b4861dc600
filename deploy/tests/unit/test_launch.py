"""What supervisord starts: it becomes the service, and says who it is; its end ends the service."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from opentr.process import started
from opentr.runtimes import launch
from tests.embedded import children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SERVICE = "redis"
SLEEPS = ["sleep", "600"]


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """The service's mark; whatever carries it is ended in the end."""
    value = f"{tmp_path.name}-{os.getpid()}/{SERVICE}"
    yield value
    launch.end_remains(f"{launch.MARK}={value}")


@pytest.fixture
def specify(tmp_path: Path, mark: str) -> Callable[..., None]:
    """Writes what is to be started."""

    def write(*argv: str, asked: str = "first", signal: str = "TERM", **environment: str) -> None:
        specification = {
            "argv": argv,
            "environment": {launch.MARK: mark, "PATH": os.environ["PATH"]} | environment,
            "folder": str(tmp_path),
            "signal": signal,
            "account": None,
            "digest": "0123456789abcdef",
            "version": "0.1.0",
            "asked": asked,
            "log": str(tmp_path / "log"),
        }
        (tmp_path / f"{SERVICE}.spec.json").write_text(json.dumps(specification))

    return write


def command() -> list[str]:
    return [sys.executable, "-I", "-S", launch.__file__, SERVICE]


@contextmanager
def begun(*argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:  # noqa: ANN401 - Popen's
    """A program beside the block, ended with it."""
    with subprocess.Popen(argv, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def run(folder: Path, **variables: str) -> int:
    """Starts the service and waits for its end."""
    return subprocess.run(command(), cwd=folder, env=dict(os.environ) | variables, timeout=60, check=False).returncode


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{SERVICE}.json").read_text())
    return found


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def logged(folder: Path) -> list[str]:
    """What stands in the log, without times."""
    place = folder / "log"
    return [line.partition(" ")[2] for line in place.read_text().splitlines()] if place.exists() else []


def test_it_becomes_the_service_and_says_who_it_is(tmp_path: Path, specify: Callable[..., None]):
    specify("sh", "-c", "echo $$; exit 7")
    assert run(tmp_path) == 7
    wait_until(lambda: logged(tmp_path))
    found = record(tmp_path)
    assert logged(tmp_path) == [str(found["pid"])]
    assert (found["digest"], found["version"], found["starts"]) == ("0123456789abcdef", "0.1.0", 1)


def test_the_start_time_is_the_one_by_which_it_is_found(tmp_path: Path, specify: Callable[..., None]):
    specify(*SLEEPS)
    with begun(*command(), cwd=tmp_path) as process:
        wait_until((tmp_path / f"{SERVICE}.json").exists)
        found = record(tmp_path)
        assert (found["pid"], found["started"]) == (process.pid, started(process.pid))


def test_starts_are_counted_until_somebody_asks_for_another(tmp_path: Path, specify: Callable[..., None]):
    counted = []
    for asked in ("first", "first", "first", "second"):
        specify("true", asked=asked)
        run(tmp_path)
        counted.append(record(tmp_path)["starts"])
    assert counted == [1, 2, 3, 1]


def test_both_outputs_are_logged_with_the_last_words_and_input_is_nothing(tmp_path: Path, specify: Callable[..., None]):
    specify("sh", "-c", "read -r line || echo empty; echo one; echo two >&2; printf 'no end'")
    run(tmp_path)
    wait_until(lambda: len(logged(tmp_path)) >= 4)
    assert logged(tmp_path) == ["empty", "one", "two", "no end"]


def test_no_signal_is_ignored(tmp_path: Path, specify: Callable[..., None]):
    specify("grep", "SigIgn", "/proc/self/status")
    subprocess.run(["nohup", *command()], cwd=tmp_path, check=True)  # noqa: S607
    wait_until(lambda: logged(tmp_path))
    ignored = int(logged(tmp_path)[0].split()[1], 16)
    assert ignored & ((1 << 31) - 1) == 0  # those after it are the C library's own


def test_the_service_has_no_child_that_it_does_not_know(tmp_path: Path, specify: Callable[..., None]):
    specify(*SLEEPS)
    with begun(*command(), cwd=tmp_path) as process:
        wait_until((tmp_path / f"{SERVICE}.json").exists)
        assert children(process.pid) == []


def test_it_gets_its_own_variables_and_few_of_the_users(tmp_path: Path, specify: Callable[..., None]):
    specify("env", OWN="own")
    run(tmp_path, HOME="/somewhere", https_proxy="http://proxy", OPENTR_PROJECT="ours", PGPASSWORD="neither")
    wait_until(lambda: "OWN=own" in logged(tmp_path))
    found = logged(tmp_path)
    assert {"HOME=/somewhere", "https_proxy=http://proxy"} <= set(found)
    assert not [line for line in found if line.startswith(("OPENTR_PROJECT", "PGPASSWORD"))]


def test_what_it_makes_is_the_users_alone(tmp_path: Path, specify: Callable[..., None]):
    specify("sh", "-c", "echo a >made")
    run(tmp_path)
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("dying", ["TERM", "INT"])
def test_when_its_parent_ends_without_a_word_it_is_ended_by_its_own_signal(
    tmp_path: Path, specify: Callable[..., None], dying: str
):
    # A shell's child in the background ignores SIGINT, until somebody thinks of it.
    specify(
        "bash", "-c", f"trap 'echo {dying} came; exit' {dying}; echo up; while :; do sleep 0.05; done", signal=dying
    )
    with begun("sh", "-c", '"$@" & wait', "sh", *command(), cwd=tmp_path) as parent:
        wait_until(lambda: logged(tmp_path) == ["up"])
        found = record(tmp_path)
        parent.kill()
    wait_until(lambda: started(found["pid"]) != found["started"])
    wait_until(lambda: len(logged(tmp_path)) > 1)
    assert logged(tmp_path) == ["up", f"{dying} came"]


def test_what_an_earlier_run_has_left_is_ended_first(tmp_path: Path, mark: str, specify: Callable[..., None]):
    """Also one that doesn't hear of SIGTERM: it may hold the port."""
    marked = dict(os.environ) | {launch.MARK: mark}
    stubborn = ["bash", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
    with (
        begun(*stubborn, env=marked, stdout=subprocess.PIPE) as deaf,
        begun(*SLEEPS, env=marked) as willing,
        begun(*SLEEPS, env=marked | {launch.MARK: f"{mark}-of-another"}) as another,
    ):
        assert deaf.stdout
        deaf.stdout.readline()
        specify("echo", "up")
        assert run(tmp_path) == 0
        assert (deaf.wait(1), willing.wait(1)) == (-signal.SIGKILL, -signal.SIGTERM)
        assert another.poll() is None


def test_a_full_disk_stops_no_service(tmp_path: Path, specify: Callable[..., None]):
    specify("sh", "-c", "for n in 1 2 3; do echo $n; done; echo end >finished")
    (tmp_path / "log").symlink_to("/dev/full")
    assert run(tmp_path) == 0
    assert (tmp_path / "finished").exists()


def test_what_found_no_room_is_written_when_there_is_some(tmp_path: Path, specify: Callable[..., None]):
    specify("sh", "-c", "echo no space; mv log full; echo last words; rm full")
    (tmp_path / "log").symlink_to("/dev/full")
    assert run(tmp_path) == 0
    wait_until(lambda: logged(tmp_path) == ["no space", "last words"])


def test_last_words_wait_for_room_after_the_end_too(tmp_path: Path, specify: Callable[..., None]):
    specify("echo", "last words")
    (tmp_path / "log").symlink_to("/dev/full")
    assert run(tmp_path) == 0
    (tmp_path / "log").unlink()
    wait_until(lambda: logged(tmp_path) == ["last words"])


def test_a_program_that_is_missing_is_told_in_supervisords_own_log(tmp_path: Path, specify: Callable[..., None]):
    specify("no-such-program")
    assert run(tmp_path) != 0
    wait_until(lambda: any("no-such-program" in line for line in logged(tmp_path)))
