"""Which runtime an environment gets: by what is asked for, by who keeps its data, by whether an engine answers."""

from __future__ import annotations

import gc
import http.server
import json
import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from opentr import settings, state
from opentr.errors import ExitCode, OpentrError
from opentr.errors.embedded import PathUnfit, RuntimeOfAnother
from opentr.errors.engine import EngineMissing
from opentr.errors.services import RuntimeRefused
from opentr.runtimes.choose import RECORD, choose

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.runtimes.base import Runtime
    from opentr.settings import Settings
    from opentr.state import State

VERSION = {"Version": "26.1.5+dfsg1", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}
pytestmark = [
    pytest.mark.usefixtures("leaking"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Answering(http.server.BaseHTTPRequestHandler):
    """An engine that knows its version."""

    def do_GET(self) -> None:
        body = json.dumps(VERSION).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Api-Version", VERSION["ApiVersion"])
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "local"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def leaking() -> Iterator[None]:
    """The SDK leaves sockets unclosed; they are collected within the test that knows it."""
    yield
    gc.collect()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    """The address of an engine that answers."""
    place = tmp_path / "engine.sock"
    with socketserver.ThreadingUnixStreamServer(str(place), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"unix://{place}"
        server.shutdown()
        thread.join()


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    """The address of none."""
    return f"unix://{tmp_path}/none.sock"


def opened(folder: Path, host: str, name: str = "dev") -> tuple[Settings, State]:
    given = {"OPENTR_STATE_DIR": str(folder / "state"), "OPENTR_ENV_FILE": "none", "OPENTR_ENGINE_HOST": host}
    chosen = settings.read(name, given)
    return chosen, state.opened(chosen)


def chosen(folder: Path, host: str, wanted: str | None = None, record: str | None = None) -> Runtime:
    found, place = opened(folder, host)
    if record:
        place.write(RECORD, {"name": record})
    return choose(found, place, wanted)


def refused(folder: Path, host: str, wanted: str | None, record: str | None, kind: type[OpentrError]) -> OpentrError:
    with pytest.raises(kind) as caught:
        chosen(folder, host, wanted, record)
    return caught.value


def test_containers_where_an_engine_answers(tmp_path: Path, engine: str):
    found = chosen(tmp_path, engine)
    assert (found.name, found.reason) == ("compose", f"Docker 26.1.5 at {engine.removeprefix('unix://')}")


def test_processes_where_none_does_with_the_way_to_containers(tmp_path: Path, nowhere: str):
    found = chosen(tmp_path, nowhere)
    assert found.name == "embedded"
    assert found.reason.startswith(f"no Docker engine answers at {nowhere}")
    assert "; to have containers: install Docker" in found.reason


def test_processes_are_asked_for_though_an_engine_answers(tmp_path: Path, engine: str):
    found = chosen(tmp_path, engine, "embedded")
    assert (found.name, found.reason) == ("embedded", "as asked for")


@pytest.mark.parametrize("character", ['"', "$", "`", "\\"])
def test_a_path_that_postgres_can_not_take_is_refused_for_processes_alone(tmp_path: Path, engine: str, character: str):
    folder = tmp_path / f"a{character}b"
    error = refused(folder, engine, "embedded", None, PathUnfit)
    assert repr(character) in error.what
    assert str(folder) in error.what
    assert chosen(folder, engine).name == "compose"


def test_containers_are_asked_for_and_there_is_no_engine(tmp_path: Path, nowhere: str):
    error = refused(tmp_path, nowhere, "compose", None, EngineMissing)
    assert error.exit_code is ExitCode.BLOCKED


def test_what_keeps_the_data_goes_on_with_it_whoever_answers(tmp_path: Path, engine: str, nowhere: str):
    found = chosen(tmp_path, engine, record="embedded")
    assert found.name == "embedded"
    assert "where its data is; to have containers: ./opentr.sh purge dev" in found.reason
    assert chosen(tmp_path, engine, record="compose").name == "compose"
    refused(tmp_path, nowhere, None, "compose", EngineMissing)


@pytest.mark.parametrize(("kept", "wanted"), [("embedded", "compose"), ("compose", "embedded")])
def test_another_than_keeps_the_data_is_refused_with_the_way_out(tmp_path: Path, engine: str, kept: str, wanted: str):
    error = refused(tmp_path, engine, wanted, kept, RuntimeOfAnother)
    assert error.exit_code is ExitCode.BLOCKED
    assert "leave --runtime out" in error.hint
    assert f"then --runtime {wanted}" in error.hint


def test_a_database_of_an_older_tool_is_in_containers(tmp_path: Path, engine: str):
    _, place = opened(tmp_path, engine)
    place.write("database", {"made_at": "2026-11-01T00:00:00+00:00"})
    assert chosen(tmp_path, engine).name == "compose"
    refused(tmp_path, engine, "embedded", None, RuntimeOfAnother)


def test_prod_is_in_containers_or_nowhere(tmp_path: Path, engine: str, nowhere: str):
    prod, place = opened(tmp_path, engine, "prod")
    assert choose(prod, place).name == "compose"
    with pytest.raises(RuntimeRefused, match="embedded can't be used: prod needs") as caught:
        choose(prod, place, "embedded")
    assert caught.value.exit_code is ExitCode.USAGE
    without, place = opened(tmp_path, nowhere, "prod")
    with pytest.raises(EngineMissing):
        choose(without, place)
