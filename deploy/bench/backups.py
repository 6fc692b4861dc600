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
BARE, BARE_INCREMENTAL = "pgbackrest --type=full backup", "pgbackrest --type=incr backup"
COPY, MANIFEST = "backup", "manifest"
"""what the tool calls its parts"""
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
    """Rounds that take turns, on one repository with the same options; then the proof of the newest of ours."""
    clock = Clock()
    parts: list[tuple[str, dict[str, float]]] = []
    changed, newest = [], ""
    for turn in range(ROUNDS):
        take_turns(turn, lambda: _taken(place, clock, FULL, parts), lambda: _bare(place, clock, BARE))
        for way in range(2):  # each has a change of its own, because the other one's backup has the one before
            changed.append(_change(place, 2 * turn + way))
            if (turn + way) % 2:
                _bare(place, clock, BARE_INCREMENTAL)
            else:
                newest = _taken(place, clock, INCREMENTAL, parts)
    _report(place, clock, parts, statistics.mean(changed))
    _prove(place, newest)


def _report(place: ProdPlace, clock: Clock, parts: list[tuple[str, dict[str, float]]], changed: float) -> None:
    def median(name: str, part: str) -> float:
        return statistics.median(each[part] for way, each in parts if way == name)

    bare = {name: statistics.median(clock.seconds[name]) for name in (BARE, BARE_INCREMENTAL)}
    whole = {name: statistics.median(clock.seconds[name]) for name in (FULL, INCREMENTAL)}
    copies = {name: median(name, COPY) for name in whole}
    place.add(
        f"Backups of {_gigabytes(place):.2f} GB, median of {ROUNDS}; {changed:.1%} of the rows changed between",
        ("way", "seconds", "copy", "manifest"),
        [[name, whole[name], copies[name], median(name, MANIFEST)] for name in whole]
        + [[name, seconds, seconds, 0] for name, seconds in bare.items()],
    )
    place.add(
        "Ratios of these",
        ("of", "incremental to full", "full to bare pgBackRest"),
        [
            ["the command", whole[INCREMENTAL] / whole[FULL], whole[FULL] / bare[BARE]],
            ["its copy", copies[INCREMENTAL] / copies[FULL], copies[FULL] / bare[BARE]],
            ["bare pgBackRest", bare[BARE_INCREMENTAL] / bare[BARE], 1],
        ],
    )


def _taken(place: ProdPlace, clock: Clock, name: str, parts: list[tuple[str, dict[str, float]]]) -> str:
    """Its ID."""
    _settle(place)
    with clock.time(name):
        said = place.stack.done(*name.split()[1:], "--json")
    found: dict[str, Any] = json.loads(said)
    parts.append((name, found["parts"]))
    return str(found["id"])


def _bare(place: ProdPlace, clock: Clock, name: str) -> None:
    """What one would type without the tool, in the container that has the repository; it removes old ones too."""
    _settle(place)
    command, *words = name.split()
    options = ["--stanza=main", "--log-level-console=warn", "--expire-auto"]
    with clock.time(name):
        run(["docker", "exec", place.stack.containers()["backup"].id, command, *options, *words])


def _settle(place: ProdPlace) -> None:
    """Neither dirty pages nor log that waits for the archive: what went before isn't measured."""
    place.sql("CHECKPOINT")
    last = place.sql("SELECT pg_walfile_name(pg_switch_wal())")
    while place.sql("SELECT left(last_archived_wal, 24) FROM pg_stat_archiver") < last:
        pass


def _change(place: ProdPlace, turn: int) -> float:
    """Changes all segments of every hundredth file, others in each turn; the share of the rows that is."""
    place.sql(_CHANGE.format(turn=turn))
    condition = f"count(*) FILTER (WHERE media_file_id % 100 = {turn})::float / count(*)"
    return float(place.sql(f"SELECT {condition} FROM transcript_segment"))


def _prove(place: ProdPlace, backup: str) -> None:
    clock = Clock()
    with clock.time("verify"):
        found: dict[str, Any] = json.loads(place.stack.done("backup", "verify", backup, "--json"))
    size, seconds = _gigabytes(place), clock.total("verify")
    place.add(
        f"./opentr.sh backup verify of {size:.2f} GB: {seconds / size:.1f} s per GB",
        ("part", "seconds", "seconds per GB"),
        [[name, float(taken), float(taken) / size] for name, taken in found["seconds"].items()]
        + [["all of it", seconds, seconds / size]],
    )


def _gigabytes(place: ProdPlace) -> float:
    return int(place.sql(_SIZE)) / GIGABYTE
