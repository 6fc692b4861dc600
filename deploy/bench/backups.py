"""Backups: an incremental one beside a full one, a full one beside bare pgBackRest, and what a proof takes."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from bench.figures import Clock, take_turns
from bench.stackplace import run

if TYPE_CHECKING:
    from bench.stackplace import ProdPlace

GIGABYTE = 10**9
ROUNDS = 3
PORTION = 500_000
"""segments that one `sample` adds"""
SEGMENTS_OF_A_FILE = 500
FULL, INCREMENTAL = "./opentr.sh backup prod --type full", "./opentr.sh backup prod --type incr"
BARE = "pgbackrest --type=full backup"
_SIZE = "SELECT sum(pg_database_size(oid)) FROM pg_database"
_CHANGE = "UPDATE transcript_segment SET text = text || '.' WHERE media_file_id % 100 = {turn}"


def fill(place: ProdPlace) -> None:
    """Sample data, until the cluster has the wanted size."""
    clock = Clock()
    with clock.time("sample"):
        portion = PORTION // 10
        while (missing := place.gigabytes * GIGABYTE - int(place.sql(_SIZE))) > 0:
            before = int(place.sql(_SIZE))
            files = str(portion // SEGMENTS_OF_A_FILE)
            words = ("--yes", "--users", "20", "--files", files, "--segments", str(portion))
            place.stack.done("sample", "prod", "--confirm", "prod", *words)
            each = (int(place.sql(_SIZE)) - before) / portion
            portion = max(10_000, min(PORTION, int((missing - each * portion) / each)))
    place.sql("VACUUM ANALYZE")
    rows = int(place.sql("SELECT count(*) FROM transcript_segment"))
    size = int(place.sql(_SIZE)) / GIGABYTE
    place.add("The sample data", ("GB", "segments", "seconds"), [[size, rows, clock.total("sample")]])


def measure(place: ProdPlace) -> None:
    """Rounds that take turns; then the proof of the newest."""
    clock = Clock()
    parts: dict[str, list[float]] = {FULL: [], INCREMENTAL: []}
    changed = []
    for turn in range(ROUNDS):
        take_turns(turn, lambda: _taken(place, clock, FULL, parts), lambda: _bare(place, clock))
        changed.append(_change(place, turn))
        _taken(place, clock, INCREMENTAL, parts)
    alone = {name: statistics.median(seconds) for name, seconds in parts.items()}
    bare = statistics.median(clock.seconds[BARE])
    place.add(
        f"Backups of {_gigabytes(place):.2f} GB, median of {ROUNDS}; incremental after"
        f" {statistics.mean(changed):.1%} of the rows changed: {alone[INCREMENTAL] / alone[FULL]:.2f} of a full one's"
        f" time; a full one {alone[FULL] / bare:.2f} of bare pgBackRest's",
        ("way", "seconds", "of which pgBackRest's copy"),
        [
            [FULL, statistics.median(clock.seconds[FULL]), alone[FULL]],
            [INCREMENTAL, statistics.median(clock.seconds[INCREMENTAL]), alone[INCREMENTAL]],
            [BARE, bare, bare],
        ],
    )
    _prove(place)


def _taken(place: ProdPlace, clock: Clock, name: str, parts: dict[str, list[float]]) -> None:
    place.sql("CHECKPOINT")
    with clock.time(name):
        said = place.stack.done(*name.split()[1:], "--json")
    found: dict[str, Any] = json.loads(said)
    parts[name].append(float(found["seconds"]))


def _bare(place: ProdPlace, clock: Clock) -> None:
    """What one would type without the tool, in the container that has the repository."""
    place.sql("CHECKPOINT")
    words = ["pgbackrest", "--stanza=main", "--type=full", "--log-level-console=warn", "backup"]
    with clock.time(BARE):
        run(["docker", "exec", place.stack.containers()["backup"].id, *words])


def _change(place: ProdPlace, turn: int) -> float:
    """Changes all segments of every hundredth file, others in each turn; the share of the rows that is."""
    place.sql(_CHANGE.format(turn=turn))
    condition = f"count(*) FILTER (WHERE media_file_id % 100 = {turn})::float / count(*)"
    return float(place.sql(f"SELECT {condition} FROM transcript_segment"))


def _prove(place: ProdPlace) -> None:
    clock = Clock()
    with clock.time("verify"):
        found: dict[str, Any] = json.loads(place.stack.done("backup", "verify", "newest", "--json"))
    size, seconds = _gigabytes(place), clock.total("verify")
    place.add(
        f"./opentr.sh backup verify of {size:.2f} GB: {seconds / size:.1f} s per GB",
        ("part", "seconds", "seconds per GB"),
        [[name, float(taken), float(taken) / size] for name, taken in found["seconds"].items()]
        + [["all of it", seconds, seconds / size]],
    )


def _gigabytes(place: ProdPlace) -> float:
    return int(place.sql(_SIZE)) / GIGABYTE
