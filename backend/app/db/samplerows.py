"""Made-up rows that look like a team's recordings: the same ones for the same seed, generated as they are asked for.

Each file's content comes from a random generator of its own, seeded with the file's number, so that it doesn't depend
on how the work is cut into pieces.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate, pairwise, product
from typing import TYPE_CHECKING, Any
from uuid import UUID

from app.models import FileStatus, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TAGS = ("Customer", "Lecture", "Planning", "Podcast", "Research", "Retrospective", "Standup", "Support", "Training")
SPEAKERS_PER_USER = 8
ADDRESS = r"^sample--?[0-9]+-[0-9]+-[0-9]+@example[.]org$"
"""The addresses that `Sample.user` makes: seed, run, number."""

_SINCE = datetime(2024, 1, 8, 8, tzinfo=UTC)
_COMMON = (
    "the and to of a in that is it you we for i on so have this was be not with are they but what can as if at there "
    "do one just like about or all know would from think my your go get time because when really will out up more how "
    "then some our which who now no say good people make see way other new could first into also back"
)
_ONSETS = ("b", "br", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "pr", "r", "s", "st", "t", "tr", "v")
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "ou")
_CODAS = ("", "n", "r", "st")
_VOCABULARY = 20_000
_NAMES = ("Ada", "Ben", "Chioma", "Dmitri", "Elif", "Fatima", "Goran", "Hana", "Inês", "Jürgen", "Kim", "Łukasz", "Mei")
_SURNAMES = ("Abe", "Brandt", "Costa", "Dubová", "Eriksen", "Fischer", "García", "Horvat", "Ito", "Jansen", "Kovač")
_KINDS = (("mp4", "video/mp4", "h264"), ("mp3", "audio/mpeg", "mp3"), ("wav", "audio/wav", "pcm_s16le"))
_LANGUAGES = ("en", "en", "en", "de", "fr", "es", "pt")
_STATUSES = (FileStatus.ERROR, FileStatus.PROCESSING, FileStatus.PENDING)
_TAGS_AT_MOST = 3
_COMMENTS = (0, 0, 0, 1, 2, 4)
"""How many a file may have, those that are likelier more often."""

_CYCLE = 20
"""Of so many files the last three are in the three states that aren't `completed`."""


@dataclass(frozen=True)
class Size:
    """How much to make, in all: `files` are dealt out to `users`, `segments` to the completed files."""

    users: int
    files: int
    segments: int

    def ids_at_most(self) -> dict[str, int]:
        """How many ids of each table's sequence the sample takes, at the most."""
        return {
            "user": self.users,
            "speaker": self.users * SPEAKERS_PER_USER,
            "media_file": self.files,
            "transcript_segment": self.segments,
            "tag": len(TAGS),
            "file_tag": self.files * _TAGS_AT_MOST,
            "comment": self.files * max(_COMMENTS),
            "analytics": self.files,
        }


@cache
def _words() -> tuple[list[str], list[float]]:
    """The vocabulary, commonest first, and cumulated weights: the n-th word's is 1/n (Zipf's law)."""
    syllables = [onset + nucleus + coda for onset, nucleus, coda in product(_ONSETS, _NUCLEI, _CODAS)]
    made = [first + second for first, second in product(syllables, syllables)]
    random.Random("vocabulary").shuffle(made)  # noqa: S311 - no secrets here
    words = [*_COMMON.split(), *made][:_VOCABULARY]
    return words, list(accumulate(1 / rank for rank in range(1, len(words) + 1)))


def sentence(rng: random.Random, length: int) -> str:
    """`length` words with a capital and a full stop."""
    words, weights = _words()
    return " ".join(rng.choices(words, cum_weights=weights, k=length)).capitalize() + "."


class Sample:
    """The rows of one sample. `run` tells samples of the same seed apart, since addresses and keys are unique."""

    def __init__(self, size: Size, seed: int, run: int) -> None:
        self.size = size
        self._name = f"{seed}-{run}"

    def _rng(self, *parts: object) -> random.Random:
        return random.Random("/".join(map(str, (self._name, *parts))))  # noqa: S311 - no secrets here

    def user(self, number: int, identity: int, password_hash: str) -> dict[str, Any]:
        """A user who isn't an administrator."""
        rng = self._rng("user", number)
        return {
            "id": identity,
            "email": f"sample-{self._name}-{number}@example.org",
            "hashed_password": password_hash,
            "full_name": f"{rng.choice(_NAMES)} {rng.choice(_SURNAMES)}",
        }

    def speaker(self, number: int, identity: int, user_id: int) -> dict[str, Any]:
        """A voice, named in most cases, with a short embedding."""
        rng = self._rng("speaker", number)
        verified = rng.random() < 0.6  # noqa: PLR2004 - most voices have been named
        return {
            "id": identity,
            "user_id": user_id,
            "name": f"SPEAKER_{number % SPEAKERS_PER_USER:02}",
            "display_name": f"{rng.choice(_NAMES)} {rng.choice(_SURNAMES)}" if verified else None,
            "uuid": str(UUID(int=rng.getrandbits(128), version=4)),
            "verified": verified,
            "embedding_vector": [round(rng.gauss(0, 0.1), 4) for _ in range(16)],
        }

    def file(self, number: int, place: FilePlace) -> dict[str, Any]:
        """The row of a file that is to have this id and user."""
        rng = self._rng("file", number)
        extension, content_type, codec = rng.choice(_KINDS)
        title = sentence(rng, rng.randint(2, 6)).rstrip(".")
        filename = f"{title.lower().replace(' ', '_')}-{number}.{extension}"
        status = status_of(number)
        duration = round(rng.uniform(60, 7200), 3)
        completed = status is FileStatus.COMPLETED
        uploaded = uploaded_at(number)
        return {
            "id": place.id,
            "user_id": place.user_id,
            "filename": filename,
            "storage_path": f"user_{place.user_id}/file_{place.id}/{filename}",
            "file_size": int(duration * 16_000),
            "duration": duration,
            "upload_time": uploaded,
            "completed_at": uploaded + timedelta(seconds=duration / 10) if completed else None,
            "content_type": content_type,
            "status": status,
            "is_public": rng.random() < 0.05,  # noqa: PLR2004
            "language": rng.choice(_LANGUAGES) if completed else None,
            "title": title if rng.random() < 0.8 else None,  # noqa: PLR2004 - not everybody gives one
            "summary": " ".join(sentence(rng, 14) for _ in range(3)) if completed else None,
            "metadata_raw": {"format": extension, "bit_rate": 128_000, "tags": {"encoder": "sample"}},
            "metadata_important": {"codec": codec, "duration": duration},
            "media_format": extension,
            "codec": codec,
            "audio_channels": rng.choice((1, 2)),
            "audio_sample_rate": 48_000,
        }

    def segments_of(self, number: int) -> int:
        """How many segments the file has; all files together have exactly `size.segments`."""
        if status_of(number) is not FileStatus.COMPLETED:
            return 0
        rank, total = completed_before(number), completed_before(self.size.files)
        return (rank + 1) * self.size.segments // total - rank * self.size.segments // total

    def segments(self, number: int, place: FilePlace) -> Iterator[tuple[Any, ...]]:
        """(media_file_id, speaker_id, start_time, end_time, text) of each segment, in the order of time."""
        rng = self._rng("segments", number)
        moment = 0.0
        for _ in range(self.segments_of(number)):
            length = rng.randint(4, 20)
            end = moment + length * 0.4
            speaker = None if rng.random() < 0.03 else rng.choice(place.speaker_ids)  # noqa: PLR2004 - a few unknown
            yield place.id, speaker, round(moment, 3), round(end, 3), sentence(rng, length)
            moment = end + rng.random()

    def tags(self, number: int, place: FilePlace, tag_ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(media_file_id, tag_id): none to three, the first tags more often."""
        rng = self._rng("tags", number)
        weights = list(accumulate(1 / rank for rank in range(1, len(tag_ids) + 1)))
        for tag_id in sorted(set(rng.choices(tag_ids, cum_weights=weights, k=rng.randint(0, _TAGS_AT_MOST)))):
            yield place.id, tag_id

    def comments(self, number: int, place: FilePlace) -> Iterator[tuple[Any, ...]]:
        """(media_file_id, user_id, text, timestamp): about the whole file, or a moment of it."""
        rng = self._rng("comments", number)
        for _ in range(rng.choice(_COMMENTS)):
            moment = round(rng.uniform(0, 60), 2) if rng.random() < 0.7 else None  # noqa: PLR2004
            yield place.id, place.user_id, sentence(rng, rng.randint(3, 25)), moment

    def task(self, number: int, place: FilePlace) -> dict[str, Any]:
        """The transcription of the file, in the state that the file's tells."""
        rng = self._rng("task", number)
        status = status_of(number)
        started = uploaded_at(number)
        state, progress = {
            FileStatus.COMPLETED: (TaskStatus.COMPLETED, 1.0),
            FileStatus.PROCESSING: (TaskStatus.IN_PROGRESS, round(rng.random(), 2)),
            FileStatus.PENDING: (TaskStatus.PENDING, 0.0),
            FileStatus.ERROR: (TaskStatus.FAILED, round(rng.random(), 2)),
        }[status]
        ended = status in (FileStatus.COMPLETED, FileStatus.ERROR)
        return {
            "id": str(UUID(int=rng.getrandbits(128), version=4)),
            "user_id": place.user_id,
            "media_file_id": place.id,
            "task_type": "transcription" if ended else "sample",  # no worker takes it: there is no recording
            "status": state,
            "progress": progress,
            "created_at": started,
            "updated_at": started,
            "completed_at": started + timedelta(minutes=3) if ended else None,
            "error_message": "the content can't be decoded" if status is FileStatus.ERROR else None,
        }

    def analytics(self, number: int, place: FilePlace) -> dict[str, Any]:
        """Shares of talk by speaker id, sentiment and key words of a file."""
        rng = self._rng("analytics", number)
        cuts = sorted([0.0, *(rng.random() for _ in place.speaker_ids[1:]), 1.0])
        shares = (round(high - low, 3) for low, high in pairwise(cuts))
        talk = dict(zip(map(str, place.speaker_ids), shares, strict=True))
        positive = round(rng.random(), 3)
        return {
            "media_file_id": place.id,
            "speaker_stats": talk,
            "sentiment": {"positive": positive, "negative": round(1 - positive, 3)},
            "keywords": rng.sample(_words()[0][100:2000], 5),
        }


@dataclass(frozen=True)
class FilePlace:
    """Where a file goes: its id, its user's, and those of the speakers who may be heard in it."""

    id: int
    user_id: int
    speaker_ids: Sequence[int]


def status_of(number: int) -> FileStatus:
    """The status of the file with this number, from 0."""
    place = number % _CYCLE - (_CYCLE - len(_STATUSES))
    return FileStatus.COMPLETED if place < 0 else _STATUSES[place]


def completed_before(number: int) -> int:
    """How many files with a smaller number are completed."""
    usual = _CYCLE - len(_STATUSES)
    return number // _CYCLE * usual + min(number % _CYCLE, usual)


def uploaded_at(number: int) -> datetime:
    """Later for higher numbers, some files in the same instant, as when many are uploaded together."""
    return _SINCE + timedelta(minutes=17 * (number - number % 3))
