"""What is asked of dev as local processes while it runs: SQL, dumps, transcripts, logs."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.embedded import SERVICES, Processes
from tests.speech import record, spoken, word_error_rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Terminal
    from tests.embedded import MakeProcesses

WORST_ERROR_RATE = 0.25
RAISE = "DO $$ BEGIN RAISE LOG '{text}'; END $$"


@pytest.fixture(scope="module")
def dev(make: MakeProcesses) -> Processes:
    """All of it runs; its tests leave it so."""
    made = make()
    made.done("reset", "dev")
    return made


def test_psql_exec_and_the_database_verbs(dev: Processes):
    assert dev.done("psql", "-Atc", "SELECT current_user || ' ' || session_user") == "app_owner postgres\n"
    said = dev("exec", "api", "--", "sh", "-c", 'cat; echo "$1"; exit 7', "sh", "a b", stdin="typed\n")
    assert (said.returncode, said.stdout) == (7, "typed\na b\n")
    assert dev("exec", "api", "--", "-i", "env").returncode != 0
    assert "nosuch" in dev("exec", "api", "--", "nosuch").stderr
    current = dev.json("db", "current")
    assert (current["pending"], current["drift"]) == ([], [])
    dev.done("reset", "dev")
    dev.done("sample", "--users", "2", "--files", "3", "--segments", "9")
    assert dev.sql("SELECT count(*) FROM transcript_segment") == [(9,)]


def test_a_shell_opens_where_the_app_is_and_says_so(
    dev: Processes, environment: dict[str, str], on_terminal: Callable[..., Terminal]
):
    environment.update(dev.variables)
    terminal = on_terminal(*dev.command, "shell")
    terminal.wait_for(f"[{dev.project} api]")
    terminal.type("alembic heads; pwd; exit 3\n")
    terminal.wait_for("(head)")
    terminal.wait_for("/backend\r\n")
    assert terminal.exit_code() == 3


def test_a_dump_is_proven_and_restored(dev: Processes):
    dev.done("reset", "dev")
    dev.sql("INSERT INTO tag (name) VALUES ('dumped')")
    dev.done("backup", "dev")
    (dump,) = (dev.state / "backups").glob("*.dump")
    dev.sql("DELETE FROM tag WHERE name = 'dumped'")
    dev.done("restore", str(dump))
    assert dev.sql("SELECT name FROM tag WHERE name = 'dumped'") == [("dumped",)]
    assert dev("health").returncode == 0
    dev.done("reset", "dev", "--undo")
    assert dev.sql("SELECT name FROM tag WHERE name = 'dumped'") == []


def test_what_was_said_is_transcribed(dev: Processes, tmp_path: Path):
    recording = record(tmp_path / "a talk.mp3", spoken())
    assert word_error_rate(dev.done("transcribe", str(recording), "--text")) < WORST_ERROR_RATE
    assert [path.name for path in dev.media.rglob("*.mp3")] == ["a_talk.mp3"]


# Logs.


def entries(dev: Processes, *words: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in dev.done("logs", "--json", *words).splitlines()]


def raise_log(dev: Processes, text: str) -> None:
    said = dev("psql", stdin=RAISE.format(text=text))
    assert said.returncode == 0, said.stderr


def test_the_services_logs_are_merged_and_understood(dev: Processes):
    dev.done("restart")
    found = entries(dev)
    assert {(name, "info") for name in SERVICES} <= {(entry["service"], entry["level"]) for entry in found}
    times = [entry["time"] for entry in found]
    assert times == sorted(times)


def test_since_and_tail_leave_out_what_was_before(dev: Processes):
    raise_log(dev, "before since")
    (before,) = entries(dev, "postgres", "--grep", "before since")
    for number in range(3):
        raise_log(dev, f"after since {number}")
    found = entries(dev, "postgres", "--since", before["time"], "--grep", "since", "--tail", "2")
    assert [entry["message"].splitlines()[0] for entry in found] == ["after since 1", "after since 2"]
    assert not entries(dev, "postgres", "--since", "1s", "--grep", "database system is ready")


def test_no_secret_of_the_environment_is_shown(dev: Processes):
    secrets = {path.name: path.read_text().strip() for path in (dev.state / "secrets").iterdir()}
    for name in ("app_rw_password", "redis_password", "jwt_secret", "admin_password"):
        raise_log(dev, f"told: {secrets[name]}")
    shown = dev.done("logs", "postgres", "--grep", "told")
    assert shown.count("[REDACTED]") >= 4
    assert not [name for name, secret in secrets.items() if secret and secret in shown]


class Following:
    """`logs --follow`, as it runs."""

    def __init__(self, dev: Processes, *words: str) -> None:
        command = [*dev.command, "logs", "--follow", "--json", *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=dev.variables, stdout=pipe, stderr=pipe, text=True)

    def wait_for(self, text: str) -> None:
        """Reads on until this is told."""
        assert self.process.stdout
        assert any(text in line for line in self.process.stdout), f"ended without {text!r}"

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_following_survives_a_restart_and_ends_by_ctrl_c_without_words(dev: Processes):
    with closing(Following(dev, "redis", "postgres", "--tail", "1")) as following:
        following.wait_for("")
        raise_log(dev, "seen while following")
        following.wait_for("seen while following")
        dev.done("restart", "redis")
        following.wait_for("ready to exit")
        following.wait_for("Ready to accept connections")
        raise_log(dev, "seen afterwards")
        following.wait_for("seen afterwards")
        following.process.send_signal(signal.SIGINT)
        _, said = following.process.communicate()
        assert following.process.returncode == 130
    assert "Traceback" not in said


def test_what_stopped_services_wrote_is_shown(dev: Processes):
    dev.done("stop")
    assert "shut down" in dev.done("logs", "postgres", "--tail", "5")
    dev.done("start")


def test_where_nothing_ever_ran_it_says_so(make: MakeProcesses):
    other = make()
    said = other("logs", "postgres")
    assert said.returncode == 1
    assert "./opentr.sh start dev" in said.stderr
