"""`transcribe`: recordings in, transcripts out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opentr.cli import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentr.actions.transcribe import Outcome
    from opentr.credentials import Secret

_EXAMPLES = ("transcribe meeting.mp3", "transcribe prod *.wav --text", "transcribe --show 12")
_MINUTE, _HOUR = 60, 3600


@click.command(epilog=words.examples(*_EXAMPLES))
@click.argument("words_", nargs=-1, metavar="[dev|prod] FILE...", type=click.Path())
@click.option("--text", "as_text", is_flag=True, help="Print what was said alone, without times and speakers.")
@words.as_json
@click.option("--user", metavar="EMAIL", help="Whose recordings they are. Default: the administrator's.")
@click.option("--password-file", type=click.Path(path_type=Path), metavar="FILE", help="Read the password there.")
@click.option(
    "--show", "shown", type=int, multiple=True, metavar="NUMBER", help="Wait for one that was uploaded before."
)
@click.option("--cancel", "cancelled", type=int, multiple=True, metavar="NUMBER", help="End the transcription of one.")
@words.runtime
def transcribe(  # noqa: PLR0913 - what a user may say
    *,
    words_: tuple[str, ...],
    as_text: bool,
    as_json: bool,
    user: str | None,
    password_file: Path | None,
    shown: tuple[int, ...],
    cancelled: tuple[int, ...],
    runtime: str | None,
) -> int:
    """Upload recordings and print what is said in them.

    Any audio or video that can be played. The transcript goes to stdout, all else to stderr; --json prints a line for
    each recording, as the API tells it. Ctrl-C leaves the server at work; --show goes on from there. Exit code 1 says
    that one wasn't transcribed, and why.
    """
    environment, rest = words.leading_environment(words_)
    _refuse_combinations(rest, shown, cancelled, as_text=as_text, as_json=as_json)
    from opentr.actions import transcribe as action
    from opentr.actions.environment import opened

    paths = [Path(word) for word in rest]
    action.refuse_unusable(paths)
    with opened(environment, command="transcribe", changes=False, runtime=runtime) as found:
        password = _password(user, password_file)
        with action.logged_in(found, action.account(found, user, password)) as api:
            if cancelled:
                action.cancel(api, cancelled)
                return 0
            outcomes = action.show(api, shown) if shown else action.transcribe(api, paths)
            return print_each(outcomes, shape(as_text=as_text, as_json=as_json, several=len(rest or shown) > 1))


def _refuse_combinations(*chosen: Sequence[object], as_text: bool, as_json: bool) -> None:
    if sum(map(bool, chosen)) != 1:
        raise click.UsageError("say what is to be transcribed: FILE..., or --show or --cancel with a NUMBER")
    if as_text and as_json:
        raise click.UsageError("--text and --json don't go together: it is one of them")


def _password(user: str | None, file: Path | None) -> Secret | None:
    """The password that was given; None: the administrator's, which is in the state."""
    from opentr.actions.transcribe import read_password
    from opentr.credentials import Secret

    if file:
        return read_password(file)
    if user is None:
        return None
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password at; add --password-file FILE")
    return Secret(click.prompt(f"Password of {user}", hide_input=True, err=True))


def print_each(outcomes: Iterable[Outcome], shaped: Callable[[Outcome], str]) -> int:
    """Print each transcript when it is there, and each fault; the exit code."""
    from opentr.cli import terminal

    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    faults = 0
    for outcome in outcomes:
        if outcome.fault:
            terminal.print_error(outcome.fault.what, outcome.fault.hint)
            faults += 1
        else:
            print(shaped(outcome), flush=True)
    return 1 if faults else 0


def shape(*, as_text: bool, as_json: bool, several: bool) -> Callable[[Outcome], str]:
    """How a transcript is printed; of several each as text has its name above."""
    if as_json:
        return lambda outcome: json.dumps(outcome.recording, ensure_ascii=False)
    line = _words if as_text else _line
    return lambda outcome: "\n".join(
        [*([f"==> {outcome.name} <=="] if several else []), *map(line, _segments(outcome))]
    )


def _segments(outcome: Outcome) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (outcome.recording or {}).get("transcript_segments", ())
    return found


def _words(segment: Mapping[str, Any]) -> str:
    from opentr.actions.logtext import clean

    return clean(" ".join(segment["text"].split()))


def _line(segment: Mapping[str, Any]) -> str:
    """As in: [00:03-00:07] Speaker 1: what was said."""
    from opentr.actions.logtext import clean

    speaker = segment["speaker"] or {}
    name = speaker.get("display_name") or speaker.get("name")
    times = f"[{_clock(segment['start_time'])}-{_clock(segment['end_time'])}]"
    return f"{times} {clean(name) + ': ' if name else ''}{_words(segment)}"


def _clock(seconds: float) -> str:
    """03:07, or 1:03:07 from an hour on."""
    whole = int(seconds)
    clock = f"{whole % _HOUR // _MINUTE:02}:{whole % _MINUTE:02}"
    return f"{whole // _HOUR}:{clock}" if whole >= _HOUR else clock
