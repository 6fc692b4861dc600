"""Recordings handed to the API, one after another, and their transcripts waited for."""

from __future__ import annotations

import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from opentr import credentials, ui
from opentr.actions import addresses
from opentr.actions.logtext import clean
from opentr.credentials import Secret
from opentr.errors import OpentrError
from opentr.errors.transcribe import (
    ApiRefused,
    ApiSilent,
    PasswordUnusable,
    RecordingRefused,
    RecordingUnusable,
    TranscriptionFailed,
    TranscriptionsLeft,
)
from opentr.server.api import Account, Api, Json
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from opentr.actions.environment import Environment

LOOK_SECONDS = 0.5
"""How often a task is asked after."""
PATIENCE_SECONDS = 60.0
"""How long the API may be away, because it is restarted or replaced, before we give up."""
_UPLOADS = 3
"""How often a file is sent at most, if the connection breaks."""
_CANCELLED = "cancelled"
_FAULTS = (ApiRefused, RecordingRefused, RecordingUnusable, TranscriptionFailed)
"""What concerns one recording, and doesn't stop the others."""

T = TypeVar("T")


@dataclass(frozen=True)
class Accepted:
    """A recording that the server has, and transcribes whether we look or not."""

    name: str
    file_id: int
    task_id: str | None
    """None: it has a transcript from elsewhere"""


@dataclass(frozen=True)
class Outcome:
    """What became of one recording: the API's answer with its transcript, or why there is none."""

    name: str
    recording: Json | None = None
    fault: OpentrError | None = None


def account(environment: Environment, email: str | None, password: Secret | None) -> Account:
    """Who is to call: the environment's administrator, unless somebody else is named."""
    words = ["./opentr.sh transcribe", *(["prod"] if environment.name == "prod" else [])]
    words += ["--user", email] if email else []
    known = password or credentials.ensure(environment.state)["admin_password"]
    return Account(environment.name, email or environment.settings.admin.email, known, " ".join(words))


def read_password(file: Path) -> Secret:
    """The first line of a file. Raises PasswordUnusable."""
    try:
        first = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise PasswordUnusable(file, error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise PasswordUnusable(file, "it isn't text") from None
    if not first:
        raise PasswordUnusable(file, "its first line is empty")
    return Secret(first)


def refuse_unusable(paths: Sequence[Path]) -> None:
    """Look at all files before the first is sent. Raises RecordingUnusable."""
    for path in paths:
        try:
            kind = path.stat().st_mode
            if not stat.S_ISREG(kind):
                raise RecordingUnusable(path, "it is a folder" if stat.S_ISDIR(kind) else "it isn't a file")
            path.open("rb").close()
        except OSError as error:
            raise RecordingUnusable(path, error.strerror or str(error)) from None


@contextmanager
def logged_in(environment: Environment, caller: Account) -> Iterator[Api]:
    """The environment's API; one that runs and doesn't answer is waited for.

    Raises ApiNotRunning, LoginRefused, ApiSilent.
    """
    first = environment.settings.api.allowed_hosts.split()[0]
    host = None if first == "*" else first.replace("*", "opentr")
    with Api(lambda: addresses.api(environment), caller, host) as api:
        try:
            api.log_in()
        except ApiSilent as silence:
            ui.note(f"{silence.what}; waiting for it")
            _patiently(api.log_in)
        yield api


def transcribe(api: Api, paths: Sequence[Path]) -> Iterator[Outcome]:
    """Upload these files, then give what becomes of each, in their order.

    What goes wrong with one is its outcome. Raises ApiSilent where the API stays away, TranscriptionsLeft for Ctrl-C;
    both say what the server goes on with.
    """
    return _outcomes(api, [(path.name, partial(_upload, api, path)) for path in paths])


def show(api: Api, file_ids: Sequence[int]) -> Iterator[Outcome]:
    """As `transcribe`, of recordings that were uploaded before: those that are at work are waited for."""
    return _outcomes(api, [(f"file {each}", partial(_find, api, each)) for each in file_ids])


def cancel(api: Api, file_ids: Sequence[int]) -> None:
    """End the transcription of these recordings. Raises TranscriptionFailed for one that has none, ApiRefused."""
    for file_id in file_ids:
        found = _find(api, file_id)
        if found.task_id is None:
            raise TranscriptionFailed(found.name, "it has its transcript", f"{api.account.command} --show {file_id}")
        api.cancel(found.task_id)
        ui.note(f"cancelled: {found.name}")


def _outcomes(api: Api, arrivals: Sequence[tuple[str, Callable[[], Accepted]]]) -> Iterator[Outcome]:
    known: list[Accepted | Outcome] = []
    try:
        for name, arrive in arrivals:
            known.append(_attempt(name, arrive))
        while known:
            first = known[0]
            outcome = first if isinstance(first, Outcome) else _attempt(first.name, partial(_follow, api, first))
            known.pop(0)
            yield outcome
    except KeyboardInterrupt:
        raise _left(api, known) from None
    except OpentrError:
        if any(isinstance(each, Accepted) for each in known):
            left = _left(api, known)
            ui.note(f"the server has {left.names}; {left.hint}")
        raise


def _left(api: Api, known: Sequence[Accepted | Outcome]) -> TranscriptionsLeft:
    accepted = [each for each in known if isinstance(each, Accepted)]
    return TranscriptionsLeft(
        [each.name for each in accepted], [each.file_id for each in accepted], api.account.command
    )


def _attempt(name: str, do: Callable[[], T]) -> T | Outcome:
    try:
        return do()
    except _FAULTS as fault:
        return Outcome(name, fault=fault)


def _upload(api: Api, path: Path) -> Accepted:
    """Send a file. Raises RecordingRefused, RecordingUnusable."""
    name = clean(path.name)
    with ui.step(f"upload {name}"):
        try:
            return _accepted(api, _sent(api, path, name), name)
        except ApiRefused as refusal:
            raise RecordingRefused(name, clean(refusal.said), _mend(refusal)) from None


def _sent(api: Api, path: Path, name: str) -> Json:
    """The recording that the server made of a file; sent again if the connection breaks, there once by its key."""
    key = uuid4().hex
    for _ in range(_UPLOADS - 1):
        try:
            return api.upload(path, key, _show_bytes)
        except ApiSilent as silence:
            ui.note(f"{silence.what}; sending {name} again")
            _patiently(api.await_answer)
    return api.upload(path, key, _show_bytes)


def _show_bytes(sent: int, total: int) -> None:
    ui.show(f"{size(sent)} of {size(total)}", sent / total if total else 1)


def _mend(refusal: ApiRefused) -> str:
    match refusal.status:
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return "give a smaller one, or raise OPENTR_MEDIA_UPLOAD_LIMIT"
        case HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return "give a recording, of sound or video"
        case HTTPStatus.INSUFFICIENT_STORAGE:
            return "make room on the disk that has the volume of the recordings, then try again"
    return refusal.hint


def _find(api: Api, file_id: int) -> Accepted:
    try:
        recording = api.recording(file_id)
    except ApiRefused as refusal:
        hint = f"give the number that was told when it was uploaded: {api.account.command} --show NUMBER"
        raise TranscriptionFailed(f"file {file_id}", refusal.said, hint) from None
    return _accepted(api, recording, clean(recording["filename"]))


def _accepted(api: Api, recording: Json, name: str) -> Accepted:
    task = _patiently(lambda: api.transcription_of(recording["id"]))
    if task is None and recording["status"] != "completed":
        raise TranscriptionFailed(name, "there is no task for it", f"upload it again: {api.account.command} FILE")
    return Accepted(name, recording["id"], task["id"] if task else None)


def _follow(api: Api, one: Accepted) -> Outcome:
    """Wait for its transcript. Raises TranscriptionFailed."""
    with ui.step(f"transcribe {one.name}"):
        try:
            if one.task_id is not None:
                _await_end(api, one.name, one.task_id)
            return Outcome(one.name, _patiently(lambda: api.recording(one.file_id)))
        except ApiRefused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            hint = f"upload it again: {api.account.command} FILE"
            raise TranscriptionFailed(one.name, "it was deleted meanwhile", hint) from None


def _await_end(api: Api, name: str, task_id: str) -> None:
    while True:
        task = _patiently(lambda: api.task(task_id))
        part = task["progress"] or 0.0
        match task["status"]:
            case "completed":
                return
            case "failed":
                raise TranscriptionFailed(name, clean(task["error_message"] or "no reason is known"), _hint(api, task))
            case "pending":
                ui.show("waiting for a worker", part)
            case _:
                ui.show(f"{part:.0%}", part)
        time.sleep(LOOK_SECONDS)


def _hint(api: Api, task: Json) -> str:
    if task["error_message"] == _CANCELLED:
        return f"upload it again, if it is wanted: {api.account.command} FILE"
    return f"see whether it plays; what the worker says: ./opentr.sh logs {api.account.environment} worker"


def _patiently(ask: Callable[[], T]) -> T:
    """What the API answers, when it does. Raises ApiSilent after PATIENCE_SECONDS without an answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except ApiSilent:
            if time.monotonic() >= deadline:
                raise
            ui.show("the API doesn't answer just now")
            time.sleep(LOOK_SECONDS)
