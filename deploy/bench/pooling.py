"""Transactions a second straight to Postgres and through the pool: pgbench, TPC-B, as the application's role."""

from __future__ import annotations

import re
import statistics
from typing import TYPE_CHECKING

from bench.figures import take_turns
from bench.stackplace import run

if TYPE_CHECKING:
    from bench.stackplace import Place

SCALE = 20
CLIENTS = 64
MANY = 1000
THREADS = 2
SECONDS = 10
ROUNDS = 5
WAYS = {"direct": ("postgres", 5432), "through the pool": ("pgbouncer", 6432)}
_TABLES = "pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers"
_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")
_FAILED = re.compile(r"number of failed transactions: (\d+)")
_DONE = re.compile(r"number of transactions actually processed: (\d+)")
_LATENCY = re.compile(r"latency average = ([\d.]+) ms")


def measure(place: Place) -> None:
    """Rounds that take turns, then very many clients."""
    _fill(place)
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(ROUNDS):
        take_turns(turn, *[lambda way=way: rates[way].append(_rate(place, way)) for way in WAYS])  # type: ignore[misc]
    pairs = zip(rates["through the pool"], rates["direct"], strict=True)
    ratios = [pooled / direct for pooled, direct in pairs]
    place.add(
        f"pgbench, TPC-B, scale {SCALE}, {CLIENTS} clients, -M simple, {ROUNDS} rounds of {SECONDS} s; through the pool"
        f" {statistics.median(ratios):.2f} of direct (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})",
        ("way", "transactions/s", "lowest", "highest"),
        [[way, statistics.median(found), min(found), max(found)] for way, found in rates.items()],
    )
    said = _pgbench(place, "through the pool", MANY)
    place.add(
        f"{MANY:,} clients through the pool for {SECONDS} s",
        ("transactions", "failed", "transactions/s", "mean wait, ms"),
        [[int(_one(_DONE, said)), int(_one(_FAILED, said)), float(_one(_TPS, said)), float(_one(_LATENCY, said))]],
    )


def _fill(place: Place) -> None:
    """The tables of pgbench beside the application's, in the database that the pool serves."""
    local = ["exec", "--no-TTY", "postgres"]
    place.compose(*local, "pgbench", "-i", "-q", "-s", str(SCALE), "-U", "postgres", "opentranscribe")
    grant = f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON {_TABLES} TO app_rw"
    place.compose(*local, "psql", "-X", "-q", "-U", "postgres", "-d", "opentranscribe", "-c", grant)


def _rate(place: Place, way: str) -> float:
    return float(_one(_TPS, _pgbench(place, way, CLIENTS)))


def _pgbench(place: Place, way: str, clients: int) -> str:
    """One run in a container of its own on the stack's networks; the password is in a file alone."""
    host, port = WAYS[way]
    password = place.stack.state / "secrets" / "app_rw_password"
    script = (
        'umask 077; echo "*:*:*:*:$(cat /run/secrets/password)" >/tmp/pgpass; export PGPASSFILE=/tmp/pgpass; exec "$@"'
    )
    bench = ["pgbench", "-n", "-M", "simple", "-c", str(clients), "-j", str(THREADS), "-T", str(SECONDS)]
    return run(
        [
            *("docker", "run", "--rm", "--ulimit", "nofile=4096", "--entrypoint", "sh"),
            *("--network", f"{place.stack.project}_app", "--network", f"{place.stack.project}_db"),
            *("--volume", f"{password}:/run/secrets/password:ro", place.stack.containers()["postgres"].image),
            *("-c", script, "sh", *bench, "-h", host, "-p", str(port), "-U", "app_rw", "opentranscribe"),
        ]
    )


def _one(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.search(said)
    if not found:
        raise SystemExit(f"pgbench said something unexpected:\n{said}")
    return found[1]
