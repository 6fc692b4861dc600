"""The backup programs of the image, on the containers of a prod of its own: without the tool, as they answer it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.programs import REPOSITORY, RETENTION_FULL, last_line, prod_without_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.containers import Engine
    from tests.integration.programs import Programs

SIGKILLED = 137


@pytest.fixture(scope="module")
def programs(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with prod_without_schedule(engine, tmp_path_factory.mktemp("state")) as found:
        yield found


def test_without_a_schedule_the_first_start_makes_the_repository_and_no_backup(programs: Programs) -> None:
    [stanza] = json.loads(programs.inside("backup", "pgbackrest", "--stanza=main", "info", "--output=json").stdout)
    assert stanza["cipher"] == "aes-256-cbc"
    assert stanza["backup"] == []
    assert programs.stack.containers()["backup"].health == "healthy"


def test_a_manifest_under_writers_is_what_its_restore_has_and_no_writer_fails(programs: Programs) -> None:
    programs.psql("CREATE TABLE IF NOT EXISTS public.without_key AS SELECT 1 AS one")
    with programs.writers() as said:
        taken = [programs.take("full"), programs.take("diff"), programs.take()]
    assert [each["type"] for each in taken] == ["full", "diff", "incr"]
    assert all(each["seconds"]["locked"] < 1 for each in taken)
    before, after = (programs.manifest(each["label"]) for each in (taken[0], taken[-1]))
    assert before["tables"]["public.tag"]["sum"] != after["tables"]["public.tag"]["sum"], said
    assert not [line for line in said if "ERROR" in line or "aborted" in line]
    for each in taken:
        receipt = programs.prove(each["label"])
        assert receipt.get("ok") is True, receipt
        assert receipt["restore_point"] == each["restore_point"]


def test_a_backup_that_was_killed_does_not_stop_the_next_one(programs: Programs) -> None:
    script = "echo $$ >/tmp/killed.pid; exec take_backup full killed"
    with programs.started(script, "full backup") as running:
        assert programs.inside("backup", "sh", "-c", "kill -KILL $(cat /tmp/killed.pid)").returncode == 0
        assert running.wait() == SIGKILLED
    assert programs.take()["error"] is False


def test_who_waits_for_another_backup_gives_up_in_the_end_and_names_it(programs: Programs) -> None:
    file = f"{REPOSITORY}/lock/opentr.lock"
    with programs.started(f"exec flock {file} sh -c 'echo hung >{file}; echo held; exec cat'", "held"):
        said = programs.inside("backup", "env", "LOCK_SECONDS=1", "take_backup", "incr", "test")
    assert "progress: waiting for hung" in said.stdout
    assert last_line(said) == {"fault": "locked", "object": "hung", "objects": ["hung"]}
    assert "fault" not in programs.take()


def test_a_pgbackrest_that_is_not_ours_is_told_as_one_that_holds_the_repository(programs: Programs) -> None:
    file = f"{REPOSITORY}/lock/main-backup-1.lock"
    with programs.started(f"exec flock {file} sh -c 'echo held; exec cat'", "held"):
        answer = programs.take()
    assert answer["fault"] == "locked"
    assert answer["object"] == "a pgBackRest that isn't ours"
    assert "fault" not in programs.take()


def test_the_schedule_takes_nothing_while_it_is_held_and_goes_on_by_itself(programs: Programs) -> None:
    def scheduled() -> dict[str, Any]:
        return last_line(programs.inside("backup", "take_backup", "incr", "schedule"))

    def hold(seconds: str) -> dict[str, Any]:
        return last_line(programs.inside("backup", "hold_schedule", seconds))

    assert hold("900")["held_until"] is not None
    before = programs.listed()
    assert "skipped" in scheduled()
    assert programs.listed() == before
    assert "label" in programs.take(), "one that is asked for is taken all the same"
    assert hold("0") == {"held_until": None}
    assert "label" in scheduled()
    hold("1")
    while "skipped" in scheduled():
        pass
    assert "fault" in hold("86400")


def test_a_backup_that_would_fill_the_disk_is_not_begun(programs: Programs) -> None:
    before = programs.listed()
    room = "BASH_FUNC_df%%=() {{ echo {}; }}"  # bash takes functions from its environment
    for kind in ("full", "diff", "incr"):
        answer = last_line(programs.inside("backup", "env", room.format(6_000_000), "take_backup", kind, "test"))
        assert answer["fault"] == "room"
        assert answer["object"].endswith("and 6.0MB are free")
    assert programs.listed() == before
    enough = room.format(before[0]["info"]["size"] + 50_000_000)
    assert "fault" not in last_line(programs.inside("backup", "env", enough, "take_backup", "incr", "test"))


def test_a_damaged_page_is_told_with_its_file_and_nothing_builds_on_it(programs: Programs) -> None:
    programs.psql("CREATE TABLE public.damaged AS SELECT generate_series(1, 1000) AS one; CHECKPOINT")
    path = programs.psql("SELECT pg_relation_filepath('public.damaged')")
    write = f"printf GARBAGE | dd of=/var/lib/postgresql/data/{path} bs=1 seek=12000 conv=notrunc"
    assert programs.inside("postgres", "sh", "-c", write).returncode == 0
    answer = programs.take()
    assert answer["fault"] == "pages"
    assert answer["object"].startswith(f"file {path}")
    broken = programs.listed()[-1]
    assert broken["error"] is True
    programs.psql("DROP TABLE public.damaged")
    answer = programs.take()
    assert (answer["type"], answer["error"]) == ("full", False)
    assert broken["label"] in answer["expired"]
    assert broken["label"] not in {each["label"] for each in programs.listed()}
    assert programs.take()["type"] == "incr"


@pytest.mark.parametrize(
    ("backups", "wanted"),
    [
        ([], "full"),
        ([("full", 0, False)], ""),
        ([("full", 7200, False)], "incr"),
        ([("full", 7200, False), ("incr", 10, False)], ""),
        ([("full", 100_000, False), ("incr", 10, False)], "diff"),
        ([("full", 700_000, False), ("diff", 10, False)], "full"),
        # One with broken pages isn't a backup that was due; nor is it followed by another at once.
        ([("full", 700_000, False), ("full", 90_000, True)], "full"),
        ([("full", 100_000, False), ("diff", 90_000, True), ("incr", 10, False)], "diff"),
        ([("full", 7200, False), ("incr", 10, True)], ""),
    ],
)
def test_what_is_due_follows_from_what_there_is(
    programs: Programs, backups: list[tuple[str, int, bool]], wanted: str
) -> None:
    now = time.time()
    info = [{"backup": [{"type": k, "timestamp": {"stop": now - age}, "error": error} for k, age, error in backups]}]
    settings = "FULL_EVERY=604800 DIFF_EVERY=86400 INCR_EVERY=3600 work=$(mktemp -d)"
    script = f"source <(sed -n '/^due()/,/^}}/p' /usr/local/bin/backup_schedule); {settings}; cat >$work/info; due"
    said = programs.inside("backup", "bash", "-euc", script, stdin=json.dumps(info))
    assert (said.stdout.strip(), said.stderr) == (wanted, "")


def test_the_newest_proven_backup_stays_and_all_else_that_is_due_goes(programs: Programs) -> None:
    base = programs.take("full")["label"]
    between, proven, after = (programs.take()["label"] for _ in range(3))
    programs.prove_for_good(proven)
    programs.take("full")
    gone = programs.take("full")
    assert after in gone["expired"]
    log = programs.log()
    last = programs.take("full")
    assert not {base, between, proven} & {*gone["expired"], *last["expired"]}
    labels = [each["label"] for each in programs.listed()]
    assert labels[:3] == [base, between, proven]
    assert len(labels) == 3 + RETENTION_FULL
    cleared = log - programs.log()
    assert cleared, "the log of what went goes too"
    assert programs.manifest(proven)["segment"] not in cleared
    assert programs.prove(proven).get("ok") is True, "a restore finds its log up to the restore point"
    programs.prove_for_good(last["label"])
    assert {base, between, proven} <= set(programs.take("full")["expired"])


def test_a_gap_in_the_log_is_not_taken_for_its_end(programs: Programs) -> None:
    programs.take()
    programs.psql("CREATE TABLE public.later AS SELECT 1 AS one")
    gap = programs.psql("SELECT pg_walfile_name(pg_switch_wal())")
    programs.psql("INSERT INTO public.later VALUES (2)")
    last = programs.psql("SELECT pg_walfile_name(pg_switch_wal())")
    while programs.psql("SELECT last_archived_wal FROM pg_stat_archiver") < last:
        pass
    programs.compose("stop", "proxy", "api", "worker", "backup", "pgbouncer", "postgres")
    hide = f"rm $(find /var/lib/pgbackrest/archive -name '{gap}-*')"
    assert programs.once("backup", "sh", "-c", hide).returncode == 0
    answer = last_line(programs.once("restore", "restore_cluster", "prepare", "latest"))
    assert "is missing, and there is more up to" in answer["object"]
