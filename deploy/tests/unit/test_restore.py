"""What an operator reads before a restore, and what `restore` refuses at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from opentr.actions.cluster import Kept
from opentr.actions.reset_prod import Live
from opentr.actions.stake import Replaced, Stake, ago
from opentr.actions.standing import Standing
from opentr.server.backups import Backup, Receipt

if TYPE_CHECKING:
    from tests.conftest import RunTool

NOW = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)


def backup(receipt: Receipt | None = None) -> Backup:
    ended = NOW - timedelta(hours=3, minutes=12, seconds=5)
    return Backup(
        label="20261122-191500F", kind="full", started_at=ended, stopped_at=ended, bytes=9_100_000,
        repo_bytes=1_000_000, error=False, restore_point="opentr_1", receipt=receipt,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s ago"), (59, "59 s ago"), (61, "1 min 1 s ago"), (11_525, "3 h 12 min ago"), (200_000, "2 d 7 h ago"),
     (86_400, "1 d ago")],
)  # fmt: skip
def test_an_age_is_told_in_its_two_largest_units(seconds: int, told: str):
    assert ago(NOW, NOW - timedelta(seconds=seconds)) == told


def test_what_goes_is_told_before_a_backup_is_restored():
    live = Live(12_000_000, "0010", {"public.comment": 20, "public.task": 0})
    told = "\n".join(Stake(backup(), backup(), live).lines(NOW))
    assert "12 MB, at revision 0010" in told
    assert "20 rows" in told
    assert "3 h 12 min ago" in told
    assert "never proven" in told
    assert "what was written after that isn't in it" in told


def test_a_failed_proof_is_told():
    failed = Receipt("20261122-191500F", ok=False, proven_at=NOW - timedelta(minutes=1), objects=("table x",))
    assert "FAILED 1 min ago" in "\n".join(Stake(backup(failed), backup(), None).lines(NOW))


def test_latest_says_whether_nothing_goes():
    live = Live(12_000_000, "0010", {})
    assert "all of it, as Postgres still runs" in "\n".join(Stake(None, backup(), live).lines(NOW))
    stopped = "\n".join(Stake(None, backup(), None).lines(NOW))
    assert "up to the last archived moment, and to the end of the log that its own volume still has" in stopped
    assert "its own volume" not in "\n".join(Stake(None, backup(), None, volume=False).lines(NOW))


def test_what_an_undo_would_put_back_is_told_with_its_size_and_its_age():
    told = "\n".join(Replaced(Kept("a", 121_000_000, NOW - timedelta(minutes=17)), None).lines(NOW))
    assert "121 MB" in told
    assert "17 min ago" in told
    assert "Postgres doesn't run" in told


@pytest.mark.parametrize(
    ("standing", "next_line"),
    [
        (Standing("0010"), ""),
        (Standing("0008", pending=("0009", "0010")), "./opentr.sh migrate prod"),
        (Standing("74093bff36e6", strange=True), "./opentr.sh db adopt prod"),
        (Standing("0011", newer=True, oldest_release="0.1.0"), ""),
    ],
)
def test_the_next_command_goes_by_where_the_database_stands(standing: Standing, next_line: str):
    told = standing.next_line("prod")
    assert standing.serves == (not next_line)
    assert next_line in told
    assert bool(told) == bool(next_line)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say what is to be restored"),
        (("prod",), "say what is to be restored"),
        (("prod", "--latest", "--undo"), "don't go together"),
        (("prod", "a.sql", "--latest"), "don't go together"),
        (("a.sql", "b.sql"), "one FILE is restored"),
        (("--latest",), "is for prod"),
        (("dev", "--backup", "newest"), "is for prod"),
    ],
)
def test_words_that_do_not_fit_are_refused(opentr: RunTool, words: tuple[str, ...], told: str):
    said = opentr("restore", *words)
    assert said.returncode == 2
    assert told in said.stderr
