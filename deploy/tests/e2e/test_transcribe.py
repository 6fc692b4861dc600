"""Recordings in, transcripts out, on the real engine, whatever happens to the services meanwhile (design §10)."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.transcribing import BEGUN, WORK_SECONDS, WORST_ERROR_RATE, record_long_talk, transcribing
from tests.e2e.watching import inside, redis, sql, wait_until
from tests.speech import cut, record, spoken, wav_header, word_error_rate
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Terminal
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

LINE = re.compile(r"\[(\d+:)?\d\d:\d\d-(\d+:)?\d\d:\d\d\] Speaker 1: \S.*")
SOON = {"LEASE_SECONDS": "6", "SWEEP_SECONDS": "2"}
"""Stranded work is found after so long, instead of a minute."""
GIGABYTE = 1024**3
MOST_MEMORY = 256 * 1024**2
"""Of a process of the API; it has 1 GB. The login before the upload takes 64 MB."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A checkout of this module's, where nobody edits the code that dev reloads."""
    made = Tree.copy_to(tmp_path_factory.mktemp("trees") / "tree")
    name = "      APPLICATION_NAME: opentr-worker\n"
    settings = "".join(f'      {setting}: "{value}"\n' for setting, value in SOON.items())
    made.change("docker-compose.dev.yml", name, name + settings)
    return made


@pytest.fixture(scope="module")
def dev(stacks: MakeStack, tree: Tree) -> Stack:
    """A dev stack of that checkout; its tests leave all of it running."""
    made = stacks(checkout=tree.root)
    made.done("reset", "dev")
    return made


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def talk(recordings: Path) -> Path:
    """The text, once."""
    return record(recordings / "talk.wav", spoken())


@pytest.fixture
def long_talk(recordings: Path, request: pytest.FixtureRequest) -> Path:
    """The text, several times, in a file that is named like its test."""
    return record_long_talk(recordings / f"{request.node.name}.mp3")


def kill(stack: Stack, service: str) -> None:
    """SIGKILL, to all that runs in a service's container."""
    command = ["docker", "kill", stack.containers()[service].id]
    subprocess.run(command, check=True, capture_output=True)


def test_what_was_said_is_printed_with_times_and_speaker(dev: Stack, talk: Path):
    lines = dev.done("transcribe", str(talk)).splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert word_error_rate(" ".join(line.partition("Speaker 1: ")[2] for line in lines)) < WORST_ERROR_RATE


def test_a_film_is_transcribed_and_found_by_what_is_said_in_it(dev: Stack, recordings: Path):
    film = record(recordings / "Ünser Film; no. 1.mp4", spoken(), pictures=True)
    assert word_error_rate(dev.done("transcribe", "dev", str(film), "--text")) < WORST_ERROR_RATE
    found = sql(
        dev, "SELECT id, duration > 10, resolution_width FROM media_file WHERE filename LIKE '%Film; no. 1.mp4'"
    )
    number, *facts = found.split("|")
    assert facts == ["t", "320"]
    again = json.loads(dev.done("transcribe", "--show", number, "--json"))
    assert again["language"] == "en"
    assert {segment["speaker"]["name"] for segment in again["transcript_segments"]} == {"Speaker 1"}


def test_broken_files_are_told_in_words_and_stop_no_other(dev: Stack, recordings: Path, talk: Path):
    empty = recordings / "empty.wav"
    empty.touch()
    text = recordings / "text.mp3"
    text.write_text("This is no sound.\n" * 100)
    no_time = recordings / "no time.wav"
    no_time.write_bytes(wav_header(1, 16_000, sound=b""))
    broken = {
        empty: "the file is empty",
        text: "neither an audio nor a video file",
        cut(record(recordings / "cut.mp4", spoken(), pictures=True), 0.5): "the end of the file is missing",
        record(recordings / "mute.mp4", pictures=True): "pictures, but no sound",
        no_time: "no moment of the file's sound can be played",
    }
    said = dev("transcribe", *map(str, broken), str(talk), "--text")
    assert said.returncode == 1
    for path, words in broken.items():
        assert re.search(rf"^{path.name} was not transcribed: .*{words}", said.stderr, re.MULTILINE), said.stderr
    assert word_error_rate(said.stdout.partition("==> talk.wav <==")[2]) < WORST_ERROR_RATE


def test_what_is_neither_sound_nor_film_is_refused(dev: Stack, recordings: Path):
    page = recordings / "page.html"
    page.write_text("<html>")
    said = dev("transcribe", str(page))
    assert (said.returncode, said.stdout) == (1, "")
    what, hint = said.stderr.splitlines()[-2:]
    assert what.startswith("page.html was refused: text/html")
    assert hint == "give a recording, of sound or video"


def test_a_wrong_password_and_a_stopped_api_are_told(dev: Stack, talk: Path, tmp_path: Path):
    wrong = tmp_path / "password"
    wrong.write_text("wrong\n")
    said = dev("transcribe", str(talk), "--password-file", str(wrong))
    assert said.returncode == 4
    assert said.stderr.splitlines()[-2] == "admin@example.com can't log in: Incorrect email or password"
    dev.done("stop", "dev", "api")
    said = dev("transcribe", str(talk))
    dev.done("start", "dev")
    assert said.returncode == 4
    assert said.stderr.splitlines()[-2:] == ["the API of dev isn't running", "type ./opentr.sh start dev"]


def test_ctrl_c_leaves_it_at_work_until_it_is_cancelled(
    dev: Stack, long_talk: Path, environment: dict[str, str], on_terminal: Callable[..., Terminal]
):
    environment.update(dev.variables)
    terminal = on_terminal(dev.command, "transcribe", str(long_talk))
    terminal.wait_for(f"transcribe {long_talk.name[:20]}")
    terminal.type("\x03")
    assert terminal.exit_code() == 130
    assert "Traceback" not in terminal.screen
    number = re.search(r"transcribe --show (\d+); end it: ./opentr.sh transcribe --cancel \1", terminal.screen)[1]
    dev.done("transcribe", "--cancel", number)
    said = dev("transcribe", "--show", number)
    assert (said.returncode, said.stdout) == (1, "")
    assert f"{long_talk.name} was not transcribed: cancelled" in said.stderr


def test_a_worker_that_is_killed_in_the_middle(dev: Stack, long_talk: Path):
    with transcribing(dev, long_talk) as work:
        work.wait_until(BEGUN)
        kill(dev, "worker")
        dev.done("start", "dev")
        work.is_done_once()
        assert work.attempts() == 2


def test_a_worker_that_is_restarted_in_the_middle(dev: Stack, long_talk: Path):
    with transcribing(dev, long_talk) as work:
        work.wait_until(BEGUN)
        dev.done("restart", "dev", "worker")
        work.is_done_once()
        assert work.attempts() == 1


def test_a_broker_that_forgets_all_while_work_is_pending(dev: Stack, long_talk: Path):
    dev.done("stop", "dev", "worker")
    with transcribing(dev, long_talk) as work:
        work.wait_until("t.status = 'pending'")
        redis(dev, 0, "FLUSHALL")
        dev.done("start", "dev")
        work.is_done_once()
        assert work.attempts() == 1


def test_a_database_that_is_killed_in_the_middle(dev: Stack, long_talk: Path):
    with transcribing(dev, long_talk) as work:
        work.wait_until(BEGUN)
        kill(dev, "postgres")
        dev.done("start", "dev")
        work.is_done_once()
        assert work.attempts() == 1


def sparse_recording(path: Path, size: int) -> Path:
    """A valid WAV file of silence, 32 × 384,000 samples of 16 bits a second, that takes no room here."""
    header = bytearray(wav_header(32, 384_000, sound=b""))
    header[4:8], header[-4:] = struct.pack("<I", size - 8), struct.pack("<I", size - len(header))
    path.write_bytes(header)
    os.truncate(path, size)
    return path


def kept(stack: Stack, name: str) -> Sequence[str]:
    """The sizes of the files in the media store that are kept under this name."""
    return inside(stack, "api", "find", "/srv/media/current/", "-path", f"*/user_*/{name}", "-printf", "%s ").split()


def test_an_api_that_is_killed_during_an_upload(dev: Stack, recordings: Path):
    recording = sparse_recording(recordings / "killed.wav", GIGABYTE)
    with transcribing(dev, recording) as work:
        coming = ("find", "/srv/media/current/", "-size", "+40M", "-path", "*/.incoming/*")
        wait_until(lambda: bool(inside(dev, "api", *coming)) or work.process.poll() is not None)
        kill(dev, "api")
        assert sql(dev, "SELECT count(*) FROM media_file WHERE filename = 'killed.wav'") == "0"
        dev.done("start", "dev")
        assert kept(dev, "killed.wav") == []
        out, err = work.process.communicate(timeout=WORK_SECONDS)
    assert work.process.returncode == 0, err
    assert "sending killed.wav again" in err
    assert json.loads(out)["transcript_segments"] == []
    assert kept(dev, "killed.wav") == [str(GIGABYTE)]
    assert sql(dev, "SELECT count(*) FROM media_file WHERE filename = 'killed.wav'") == "1"


def test_two_gigabytes_are_taken_within_the_apis_memory(dev: Stack, recordings: Path):
    recording = sparse_recording(recordings / "large.wav", 2 * GIGABYTE)
    started = dev.containers()["api"].started
    done = json.loads(dev.done("transcribe", str(recording), "--json"))
    assert done["file_size"] == 2 * GIGABYTE
    assert most_memory(dev) < MOST_MEMORY
    assert dev.containers()["api"].started == started


def most_memory(stack: Stack) -> int:
    """Bytes that the largest of the API's processes had at most."""
    found = inside(stack, "api", "sh", "-c", "grep -h VmHWM /proc/[0-9]*/status")
    return max(int(line.split()[1]) for line in found.splitlines()) * 1024
