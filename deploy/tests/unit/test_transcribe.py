"""`transcribe` against an API of the test's own, which is a real server that can be made to misbehave."""

from __future__ import annotations

import json
import os
import signal
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from opentr.actions import transcribe as action
from opentr.cli import transcribe as cli
from opentr.credentials import Secret
from opentr.errors import ExitCode
from opentr.errors.transcribe import (
    ApiNotRunning,
    ApiSilent,
    LoginRefused,
    PasswordUnusable,
    RecordingUnusable,
    TranscriptionsLeft,
)
from opentr.server.api import Account, Api
from tests.unit.apiserver import EMAIL, PASSWORD, SEGMENTS, Answer, Handler, Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import RunTool


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def address(service: Service) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Ours", (Handler,), {"service": service}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(action, "LOOK_SECONDS", 0.001)


def account(password: str = PASSWORD) -> Account:
    return Account("dev", EMAIL, Secret(password), "./opentr.sh transcribe")


@pytest.fixture
def api(address: str) -> Iterator[Api]:
    with Api(lambda: address, account()) as connected:
        connected.log_in()
        yield connected


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "some talk.wav"
    path.write_bytes(os.urandom(300_000))
    return path


def only(outcomes: Iterator[action.Outcome]) -> action.Outcome:
    (outcome,) = outcomes
    return outcome


def test_a_file_is_uploaded_whole_and_its_transcript_waited_for(api: Api, service: Service, recording: Path):
    outcome = only(action.transcribe(api, [recording]))
    assert outcome.fault is None
    assert outcome.recording["transcript_segments"] == SEGMENTS
    assert [(each["filename"], each["size"]) for each in service.files] == [("some talk.wav", 300_000)]
    assert service.progress == []


def test_several_are_uploaded_first_and_come_in_their_order(api: Api, service: Service, tmp_path: Path):
    paths = [tmp_path / name for name in ("b.wav", "a.wav", "c.wav")]
    for path in paths:
        path.write_bytes(b"sound")
    uploaded: list[int] = []
    service.on_look = lambda: uploaded.append(len(service.files))
    assert [each.name for each in action.transcribe(api, paths)] == ["b.wav", "a.wav", "c.wav"]
    assert uploaded[0] == 3


@pytest.mark.parametrize("misfortune", ["cuts", "lost_answers", "unavailable"])
def test_an_upload_whose_connection_breaks_is_sent_again_and_there_once(
    api: Api, service: Service, recording: Path, misfortune: str
):
    setattr(service, misfortune, 2)
    assert only(action.transcribe(api, [recording])).fault is None
    assert getattr(service, misfortune) == 0
    assert [each["size"] for each in service.files] == [300_000]


def test_an_api_that_goes_away_for_a_moment_is_waited_for(api: Api, service: Service, recording: Path):
    def go_away() -> None:
        service.unavailable, service.on_look = 3, lambda: None

    service.on_look = go_away
    assert only(action.transcribe(api, [recording])).fault is None


def test_an_api_that_stays_away_is_named_with_what_it_goes_on_with(
    api: Api, service: Service, recording: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(action, "PATIENCE_SECONDS", 0.05)
    service.on_look = lambda: setattr(service, "unavailable", 1_000_000)
    with pytest.raises(ApiSilent) as caught:
        only(action.transcribe(api, [recording]))
    assert caught.value.what == "the API of dev doesn't answer: the service is not available just now"
    assert "./opentr.sh status dev" in caught.value.hint
    (note,) = notes
    assert note.startswith("the server has some talk.wav; see it later: ./opentr.sh transcribe --show 1; end it: ")


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(action.ui, "note", told.append)
    return told


def test_a_token_that_ends_while_we_wait_is_replaced(api: Api, service: Service, recording: Path):
    service.on_look = lambda: service.tokens.clear() if service.logins == 1 else None
    assert only(action.transcribe(api, [recording])).fault is None
    assert service.logins == 2


def test_a_failure_is_told_in_the_apis_words_and_stops_no_other(api: Api, service: Service, recording: Path):
    service.fault = "the file is empty"
    first, second = action.transcribe(api, [recording, recording])
    for outcome in (first, second):
        assert outcome.fault.what == "some talk.wav was not transcribed: the file is empty"
        assert "./opentr.sh logs dev worker" in outcome.fault.hint


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((413, {"detail": "4 GB at most"}), ("4 GB at most", "smaller")),
        ((415, {"detail": "no sound"}), ("no sound", "give a recording")),
        ((507, {"detail": "full"}), ("full", "make room")),
        ((429, {"detail": "too many"}), ("too many", "try again in 30 s")),
        ((422, {"detail": [{"loc": ["body", "file"], "msg": "Field required"}]}), ("file: Field required", "mend")),
        ((418, "tea"), ("418 I'm a Teapot", "mend")),
    ],
)
def test_a_file_that_the_api_refuses_is_told_with_what_to_do(
    api: Api, service: Service, recording: Path, answer: Answer, words: tuple[str, str]
):
    service.refusal = answer
    fault = only(action.transcribe(api, [recording])).fault
    assert fault.what == f"some talk.wav was refused: {words[0]}"
    assert words[1] in fault.hint


def test_a_file_that_was_deleted_meanwhile_is_told_as_such(api: Api, service: Service, recording: Path):
    service.on_look = service.tasks.clear
    fault = only(action.transcribe(api, [recording])).fault
    assert fault.what == "some talk.wav was not transcribed: it was deleted meanwhile"


def test_a_file_that_becomes_shorter_while_it_is_read_is_not_sent(api: Api, service: Service, recording: Path):
    def cut(sent: int, _total: int) -> None:
        if sent:
            os.truncate(recording, 1)

    with pytest.raises(RecordingUnusable, match="became shorter"):
        api.upload(recording, "key", cut)
    assert service.files == []


def test_a_file_that_grows_while_it_is_read_is_sent_as_it_was(api: Api, service: Service, recording: Path):
    def grow(_sent: int, _total: int) -> None:
        with recording.open("ab") as file:
            file.write(b"more")

    api.upload(recording, "key", grow)
    assert service.files[0]["size"] == 300_000


def test_ctrl_c_leaves_the_server_at_work_and_says_how_to_go_on(api: Api, service: Service, recording: Path):
    service.progress = [0.1] * 1_000_000
    service.on_look = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(TranscriptionsLeft) as caught:
        only(action.transcribe(api, [recording]))
    assert caught.value.what == "interrupted; the server goes on with some talk.wav"
    assert caught.value.hint == (
        "see it later: ./opentr.sh transcribe --show 1; end it: ./opentr.sh transcribe --cancel 1"
    )
    assert caught.value.exit_code == ExitCode.INTERRUPTED


def test_what_was_left_can_be_shown_and_cancelled(api: Api, service: Service):
    service.take("left.wav", b"sound", "key")
    assert only(action.show(api, [1])).recording["transcript_segments"] == SEGMENTS
    service.take("other.wav", b"sound", "another key")
    action.cancel(api, [2])
    fault = only(action.show(api, [2])).fault
    assert fault.what == "other.wav was not transcribed: cancelled"
    assert only(action.show(api, [7])).fault.what == "file 7 was not transcribed: There is no such file"


def test_a_recording_from_elsewhere_is_shown_without_a_task(api: Api, service: Service):
    service.take("old.wav", b"sound", "key")
    service.tasks.clear()
    service.files[0]["status"] = "completed"
    assert only(action.show(api, [1])).recording["filename"] == "old.wav"


def test_a_wrong_password_is_named_without_it(address: str):
    with pytest.raises(LoginRefused) as caught, Api(lambda: address, account("wrong")) as api:
        api.log_in()
    assert caught.value.what == "ann@example.com can't log in: Incorrect email or password"
    assert "--user EMAIL" in caught.value.hint
    assert "wrong" not in caught.value.what


def test_a_port_where_nobody_answers_is_told():
    with pytest.raises(ApiSilent, match="doesn't answer: "), Api(lambda: "127.0.0.1:1", account()) as api:
        api.log_in()


def test_an_api_that_comes_back_at_another_port_is_found(address: str, service: Service, recording: Path):
    ports = [address, "127.0.0.1:1", "127.0.0.1:1", address]
    service.cuts = 1
    with Api(lambda: ports.pop(0), account()) as api:
        api.log_in()
        assert only(action.transcribe(api, [recording])).fault is None
    assert ports == []


def test_an_api_that_runs_nowhere_is_told_with_what_to_type():
    with pytest.raises(ApiNotRunning) as caught, Api(lambda: None, account()):
        pass
    assert (caught.value.what, caught.value.hint) == ("the API of dev isn't running", "type ./opentr.sh start dev")


def test_it_is_called_by_the_name_that_it_listens_to(address: str, service: Service):
    with Api(lambda: address, account(), "talks.example.com") as api:
        api.log_in()
        assert service.called_by == {"talks.example.com"}


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("correct horse\nbattery\n")
    assert action.read_password(file).reveal() == "correct horse"
    file.write_text("\n")
    with pytest.raises(PasswordUnusable, match="its first line is empty"):
        action.read_password(file)
    with pytest.raises(PasswordUnusable, match="No such file"):
        action.read_password(tmp_path / "none")


def test_what_is_no_file_is_named_before_anything_is_sent(opentr: RunTool, tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("none.wav", "No such file or directory"),
        ("", "it is a folder"),
        ("pipe", "it isn't a file"),
    ):
        said = opentr("transcribe", str(tmp_path / name))
        assert (said.returncode, said.stdout) == (4, "")
        assert said.stderr.splitlines() == [
            f"{tmp_path / name} can't be uploaded: {reason}",
            "name a file that you can read",
        ]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ([], "say what is to be transcribed: FILE..., or --show or --cancel with a NUMBER"),
        (["a.wav", "--show", "1"], "say what is to be transcribed: FILE..., or --show or --cancel with a NUMBER"),
        (["a.wav", "--text", "--json"], "--text and --json don't go together: it is one of them"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(opentr: RunTool, words: list[str], what: str):
    said = opentr("transcribe", *words)
    assert (said.returncode, said.stderr.splitlines()[0]) == (2, what)


def printed(capsys: pytest.CaptureFixture[str], *outcomes: action.Outcome, **shape: bool) -> tuple[int, str, str]:
    given = {"as_text": False, "as_json": False, "several": len(outcomes) > 1} | shape
    code = cli.print_each(outcomes, cli.shape(**given))
    return code, *capsys.readouterr()


DONE = action.Outcome("talk.wav", {"id": 1, "transcript_segments": SEGMENTS})


def test_a_transcript_is_printed_with_times_and_speakers(capsys: pytest.CaptureFixture[str]):
    text = "[00:00-00:03] Speaker 1: Hello there.\n[1:02:01-1:02:05] Good bye.\n"
    assert printed(capsys, DONE) == (0, text, "")
    assert printed(capsys, DONE, DONE)[1] == f"==> talk.wav <==\n{text}" * 2


def test_a_transcript_is_printed_as_text_alone_or_as_json_a_line(capsys: pytest.CaptureFixture[str]):
    assert printed(capsys, DONE, as_text=True)[1] == "Hello there.\nGood bye.\n"
    lines = printed(capsys, DONE, DONE, as_json=True)[1].splitlines()
    assert [json.loads(line) for line in lines] == [DONE.recording] * 2


def test_a_fault_is_two_lines_beside_the_transcripts_and_exit_code_1(capsys: pytest.CaptureFixture[str]):
    fault = action.Outcome("bad.wav", fault=action.TranscriptionFailed("bad.wav", "it is empty", "give another"))
    code, out, err = printed(capsys, fault, DONE, as_text=True)
    assert (code, err.splitlines()) == (1, ["bad.wav was not transcribed: it is empty", "give another"])
    assert out.endswith("Good bye.\n")
