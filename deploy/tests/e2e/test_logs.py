from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.stacks import Stack

RAISE = "DO $$ BEGIN RAISE {level} '{text}'; END $$"


def entries(stack: Stack, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.done("logs", "--json", *words).splitlines()]


def raise_log(stack: Stack, text: str, level: str = "LOG") -> None:
    stack.done("psql", stdin=RAISE.format(level=level, text=text))


def write(stack: Stack, service: str, script: str) -> None:
    """What the script writes to descriptor 3 goes to the service's log, as if it came from itself."""
    stack.done("exec", service, "--", "sh", "-c", f"exec 3>/proc/1/fd/1; {script}")


class Following:
    """`logs --follow`, as it runs."""

    def __init__(self, stack: Stack, *words: str) -> None:
        command = [stack.command, "logs", "--follow", "--json", *words]
        self.process = subprocess.Popen(command, env=stack.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def wait_for(self, text: str) -> dict[str, Any]:
        """The first entry from now on with this text."""
        assert self.process.stdout
        for line in self.process.stdout:
            entry: dict[str, Any] = json.loads(line)
            if text in entry["message"]:
                return entry
        raise AssertionError(f"ended without {text!r}")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def follow(dev: Stack) -> Iterator[Callable[..., Following]]:
    made: list[Following] = []

    def start(*words: str) -> Following:
        made.append(Following(dev, *words))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_the_services_are_merged_by_time(dev: Stack):
    found = entries(dev)
    assert {entry["service"] for entry in found} == {"postgres", "pgbouncer", "redis", "api", "worker"}
    times = [entry["time"] for entry in found]
    assert times == sorted(times)
    assert all(time.endswith("Z") for time in times)


def test_every_service_is_understood(dev: Stack):
    levels = {(entry["service"], entry["level"]) for entry in entries(dev)}
    assert {(name, "info") for name in ("postgres", "pgbouncer", "redis", "api", "worker")} <= levels


def test_a_statement_stays_with_its_error(dev: Stack):
    dev("psql", stdin="SELECT 1,\n  nowhere_to_be_found;")
    (found,) = entries(dev, "postgres", "--level", "error", "--grep", r"^\s+nowhere_to_be_found;")
    assert found["message"].splitlines() == [
        'column "nowhere_to_be_found" does not exist at character 13',
        "STATEMENT:  SELECT 1,",
        "\t  nowhere_to_be_found;",
    ]
    assert found["application"]


def test_a_slow_statement_is_logged(dev: Stack):
    dev.done("psql", stdin="SELECT pg_sleep(0.6) AS slowly;")
    assert entries(dev, "postgres", "--grep", "duration: .* slowly", "--tail", "1")


def test_no_secret_of_the_environment_is_shown(dev: Stack):
    secrets = {path.name: path.read_text().strip() for path in (dev.state / "secrets").iterdir()}
    for name in ("app_rw_password", "redis_password", "jwt_secret", "admin_password"):
        raise_log(dev, f"told: {secrets[name]} and password={secrets[name][:9]}")
    for words in ((), ("--json",)):
        shown = dev.done("logs", "postgres", "--grep", "told", *words)
        assert shown.count("[REDACTED]") >= 8
        assert not [name for name, secret in secrets.items() if secret in shown]


def test_nothing_in_a_line_reaches_the_terminal_raw(dev: Stack):
    write(dev, "postgres", r"printf 'marked \033[2J\033]0;t\007 \377\r\n' >&3")
    said = subprocess.run(
        [dev.command, "logs", "postgres", "--grep", "marked"], env=dev.variables, capture_output=True, check=True
    )
    assert said.stdout.rstrip().endswith("marked  \N{REPLACEMENT CHARACTER}".encode())
    assert b"\033" not in said.stdout


def test_a_line_of_a_megabyte_comes_whole(dev: Stack):
    write(dev, "postgres", "(printf 'long '; head -c 1000000 /dev/zero | tr '\\0' x; echo ' end') >&3")
    (found,) = entries(dev, "postgres", "--grep", "^long x")
    assert len(found["message"]) == len("long ") + 1_000_000 + len(" end")


def test_tail_counts_the_entries_that_fit(dev: Stack):
    for number in range(6):
        raise_log(dev, f"odd {number}" if number % 2 else f"even {number}")
    found = entries(dev, "postgres", "--grep", "(odd|even) ", "--tail", "4")
    assert [entry["message"].splitlines()[0] for entry in found] == ["even 2", "odd 3", "even 4", "odd 5"]
    assert [e["message"].splitlines()[0] for e in entries(dev, "--grep", "odd", "--tail", "2")] == ["odd 3", "odd 5"]


def test_since_leaves_out_what_was_before(dev: Stack):
    raise_log(dev, "before since")
    (before,) = entries(dev, "postgres", "--grep", "before since")
    raise_log(dev, "after since")
    found = entries(dev, "postgres", "--since", before["time"].replace("Z", "+00:00"), "--grep", "since$")
    assert [entry["message"].splitlines()[0] for entry in found][-1] == "after since"
    assert not entries(dev, "postgres", "--since", "1s", "--grep", "database system is ready")


def test_the_end_of_a_long_log_is_shown_at_once(dev: Stack):
    write(dev, "redis", "seq -f 'line %.0f' 100000 | sed 's/^/1:M 22 Nov 2026 19:44:11.880 * /' >&3")
    began = time.monotonic()
    everything = dev.done("logs", "redis")
    whole = time.monotonic() - began
    began = time.monotonic()
    shown = dev.done("logs", "--tail", "100")
    assert time.monotonic() - began < whole / 2
    assert len(everything.splitlines()) > 100_000
    assert "line 100000" in shown


def test_following_survives_a_restart_and_ends_by_ctrl_c_without_words(dev: Stack, follow: Callable[..., Following]):
    following = follow("redis", "postgres", "--tail", "1")
    following.wait_for("")
    raise_log(dev, "seen while following")
    assert following.wait_for("seen while following")["service"] == "postgres"
    dev.done("restart", "redis")
    following.wait_for("ready to exit")
    following.wait_for("Ready to accept connections")
    raise_log(dev, "seen afterwards")
    following.wait_for("seen afterwards")
    following.process.send_signal(signal.SIGINT)
    _, said = following.process.communicate()
    assert following.process.returncode == 130
    assert "Traceback" not in said.decode()


def test_following_begins_with_the_newest_and_repeats_none(dev: Stack, follow: Callable[..., Following]):
    raise_log(dev, "the last one")
    following = follow("--tail", "1", "--grep", "the last one|the next one")
    first = following.wait_for("")
    raise_log(dev, "the next one")
    assert first["message"].startswith("the last one")
    assert following.wait_for("")["message"].startswith("the next one")


def test_a_reader_that_has_seen_enough_is_no_fault(dev: Stack):
    script = f"set -o pipefail; '{dev.command}' logs | head -n 2"
    said = subprocess.run(["/bin/bash", "-c", script], env=dev.variables, capture_output=True, text=True, check=False)
    assert len(said.stdout.splitlines()) == 2
    assert "Traceback" not in said.stderr
    assert "BrokenPipe" not in said.stderr


def test_a_lock_that_another_command_holds_is_no_hindrance(dev: Stack):
    with closing((dev.state / "lock").open("a")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert entries(dev, "--tail", "1")


def test_what_stopped_services_wrote_is_shown(dev: Stack):
    dev.done("stop", "dev")
    assert "shut down" in dev.done("logs", "postgres", "--tail", "5")
    dev.done("start", "dev")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("postgre",), "no such service postgre; did you mean postgres?"),
        (("prod", "prxy"), "no such service prxy; did you mean proxy?"),
        (("--since", "10 minutes"), "--since 10 minutes is neither a duration nor a time"),
        (("--grep", "("), "--grep ( is no regular expression"),
        (("--level", "loud"), "'loud' is not one of"),
    ],
)
def test_wrong_words_are_refused_before_anything_is_read(dev: Stack, words: tuple[str, ...], said: str):
    found = dev("logs", *words)
    assert (found.returncode, found.stdout) == (2, "")
    assert said in found.stderr.splitlines()[0]


def test_where_nothing_ever_ran_it_says_so(stack: Stack, tmp_path: Path):
    found = stack("logs", "postgres")
    assert found.returncode == 1
    assert f"{stack.project} has no container of postgres, so there is no log" in found.stderr
    assert "./opentr.sh start dev" in found.stderr
    assert not list(tmp_path.iterdir())
