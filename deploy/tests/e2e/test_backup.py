"""Backups of prod: there from the first start, proven by a restore, and told exactly where they can't be relied on."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from opentr.containers import CHECKOUT_LABEL, PROJECT_LABEL, STATE_LABEL, VOLUME_LABEL
from tests.e2e.watching import inside, running, sql, wait_until
from tests.e2e.writers import writing

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

REPOSITORY = "/var/lib/pgbackrest"
FILLER = f"{REPOSITORY}/filler"
REPOSITORY_MB = 150
INSPECT_VOLUME = ("docker", "volume", "inspect")
UNSCHEDULED = {"BACKUP_DIFF_EVERY": "none", "BACKUP_INCR_EVERY": "none"}


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """A running prod stack with a small repository, whose schedule takes nothing but the first backup."""
    made = stacks(POSTGRES_ARCHIVE_TIMEOUT="1", **UNSCHEDULED)
    make_small_repository(made)
    made.done("start", "prod")
    wait_until(lambda: len(listed(made)) == 1)
    return made


def make_small_repository(stack: Stack) -> None:
    """A volume in memory, so that it can be filled: it belongs to the stack as if Compose had made it."""
    stack.done("status", "prod")  # makes the state
    labels = {
        PROJECT_LABEL: stack.project,
        VOLUME_LABEL: "backups",
        STATE_LABEL: (stack.state / "id").read_text().strip(),
        CHECKOUT_LABEL: str(stack.checkout),
    }
    options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    mount = f"o=size={REPOSITORY_MB}m,uid=10001,gid=10001,mode=0700"
    command = ["docker", "volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", mount]
    subprocess.run([*command, *options, f"{stack.project}_backups"], check=True, stdout=subprocess.DEVNULL)


def listed(stack: Stack) -> list[dict[str, Any]]:
    said = stack("backup", "list", "--json")
    found = json.loads(said.stdout) if said.returncode == 0 else []
    return [each for each in found if each["kind"] != "dump"]


def shown(stack: Stack, wanted: str = "newest") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.done("backup", "show", wanted, "--json"))
    return found


def taken(stack: Stack, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.done("backup", "prod", *words, "--json"))
    return found


def oneoffs(stack: Stack, service: str | None = None) -> list[str]:
    found = stack.engine.containers(stack.project)
    return [each.id for each in found if each.oneoff and service in (None, each.service)]


def test_the_first_start_takes_a_backup_that_tells_what_it_is_of(prod: Stack):
    first = shown(prod)
    assert (first["kind"], first["version"], first["revision"]) == ("full", "0.1.0", prod_revision(prod))
    assert "postgres=" in first["images"]
    assert first["manifest"]["tables"]["public.tag"]["rows"] == 4
    assert first["proven"] is False
    assert first["receipt"] is None
    assert "no backup is proven yet: ./opentr.sh backup verify" in prod.done("status", "prod")


def prod_revision(stack: Stack) -> str:
    return sql(stack, "SELECT version_num FROM alembic_version")


def test_a_backup_taken_under_writes_is_proven(prod: Stack):
    with writing(prod) as load:
        load.wait_for_more()
        incr = taken(prod)
        load.wait_for_more()
    assert incr["kind"] == "incr"
    receipt = json.loads(prod.done("backup", "verify", "--json"))
    assert receipt["ok"] is True
    assert receipt["label"] == incr["label"]
    assert set(receipt["seconds"]) == {"restore", "replay", "compare", "amcheck", "checksums"}
    assert oneoffs(prod) == []
    table = prod.done("backup", "list").splitlines()
    assert table[0].split()[-1] == "PROVEN"
    assert [line.split()[-1] for line in table[1:3]] == ["no", "ago"]
    backups = json.loads(prod.done("status", "prod", "--json"))["backups"]
    assert (backups["newest"], backups["proven"], backups["archiving_fails_since"]) == (incr["id"], incr["id"], None)


def test_an_older_backup_is_proven_too_and_its_copy_is_gone_afterwards(prod: Stack):
    first = listed(prod)[0]
    with subprocess.Popen([prod.command, "backup", "verify", first["id"]], env=prod.variables) as verify:
        wait_until(lambda: bool(oneoffs(prod, "proof")))
        copy = mounted(oneoffs(prod, "proof")[0], "/var/lib/proof")
    assert verify.returncode == 0
    assert shown(prod, first["label"])["proven"] is True
    assert oneoffs(prod) == []
    assert subprocess.run([*INSPECT_VOLUME, copy], check=False, capture_output=True).returncode == 1


def mounted(container: str, place: str) -> str:
    """The name of the volume that the container has there."""
    words = ["docker", "inspect", "--format", "{{json .Mounts}}", container]
    mounts = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return next(str(each["Name"]) for each in mounts if each["Destination"] == place)


def test_what_is_unknown_is_refused_with_what_there_is(prod: Stack):
    said = prod("backup", "verify", "20200101-000000F")
    assert said.returncode == 2
    assert listed(prod)[-1]["id"] in said.stderr


def test_a_damaged_file_of_the_repository_is_named_and_remembered(prod: Stack):
    bad = taken(prod, "--type", "full")
    file = f"{REPOSITORY}/backup/main/{bad['label']}/bundle/1"
    inside(prod, "backup", "dd", "if=/dev/urandom", f"of={file}", "bs=1k", "seek=20", "count=20", "conv=notrunc")
    said = prod("backup", "verify")
    assert said.returncode == 1, said.stderr
    what, hint = said.stderr.splitlines()[-2:]
    assert what.startswith(f"backup {bad['label']} can't be relied on: ")
    assert f"repository file {bad['label']}/bundle/1: invalid checksum" in what
    assert "./opentr.sh backup prod --type full" in hint
    known = shown(prod)
    assert known["receipt"]["ok"] is False
    assert (
        prod.done("backup", "list").splitlines()[-1]
        == f"{bad['id']} can't be relied on: {known['receipt']['objects'][0]}"
    )
    assert f"backup {bad['id']} can't be relied on" in prod.done("status", "prod")
    better = taken(prod, "--type", "full")
    assert json.loads(prod.done("backup", "verify", "--json"))["label"] == better["label"]
    assert "can't be relied on" not in prod.done("status", "prod")


def test_wal_that_is_missing_from_the_archive_is_told(prod: Stack):
    lost = taken(prod)
    segment = shown(prod, lost["label"])["manifest"]["segment"]
    inside(prod, "backup", "find", f"{REPOSITORY}/archive/main", "-name", f"{segment}-*", "-delete")
    said = prod("backup", "verify", lost["id"])
    assert said.returncode == 1, said.stderr
    what = said.stderr.splitlines()[-2]
    assert what.startswith(f"backup {lost['id']} can't be relied on: repository file archive/main: ")
    assert "missing" in what
    taken(prod, "--type", "full")


def test_a_broken_page_of_the_live_database_is_told_with_its_file(prod: Stack):
    path = sql(
        prod, "CREATE TABLE broken AS SELECT 1 AS a; CHECKPOINT; SELECT pg_relation_filepath('broken')"
    ).splitlines()[-1]
    file = f"/var/lib/postgresql/data/{path}"
    inside(prod, "postgres", "dd", "if=/dev/urandom", f"of={file}", "bs=1", "seek=200", "count=50", "conv=notrunc")
    said = prod("backup", "prod")
    sql(prod, "DROP TABLE broken; CHECKPOINT")
    assert said.returncode == 5, said.stderr
    assert path in said.stderr
    assert "./opentr.sh restore prod --backup" in said.stderr
    assert taken(prod)["error"] is False


def test_a_full_repository_takes_no_backup_and_is_warned_of(prod: Stack):
    inside(prod, "backup", "fallocate", "-l", f"{free(prod) - 10_000_000}", FILLER)
    try:
        said = prod("backup", "prod", "--type", "full")
        assert said.returncode == 4, said.stderr
        assert "the volume of the backups" in said.stderr
        inside(
            prod, "backup", "dd", "if=/dev/zero", f"of={FILLER}.rest", "bs=1M", f"count={free(prod) // 1_000_000 + 1}"
        )
    except AssertionError as full:
        assert "No space left" in str(full)  # noqa: PT017 - dd says so, which is what it was for
    try:
        sql(
            prod,
            "CREATE TABLE noise AS SELECT md5(a::text) FROM generate_series(1, 10000) AS a; SELECT pg_switch_wal()",
        )
        wait_until(lambda: bool(json.loads(prod.done("status", "prod", "--json"))["backups"]["archiving_fails_since"]))
        assert "archiving has failed for" in prod.done("status", "prod")
    finally:
        inside(prod, "backup", "rm", "-f", FILLER, f"{FILLER}.rest")
    wait_until(lambda: not json.loads(prod.done("status", "prod", "--json"))["backups"]["archiving_fails_since"])
    assert taken(prod)["error"] is False


def free(stack: Stack) -> int:
    return int(inside(stack, "backup", "df", "--output=avail", "--block-size=1", REPOSITORY).split()[-1])


def test_after_the_tool_was_killed_in_the_middle_the_next_backup_works(prod: Stack):
    before = {each["label"] for each in listed(prod)}
    with running(prod, "backup", "prod", "--type", "full") as tool:
        wait_until(lambda: bool(oneoffs(prod)))
        tool.send_signal(signal.SIGKILL)
        tool.wait()
    after = taken(prod)
    assert after["label"] not in before
    assert oneoffs(prod) == []
    assert json.loads(prod.done("backup", "verify", "--json"))["ok"] is True


def test_a_plan_takes_nothing(prod: Stack):
    before = listed(prod)
    assert "take a differential backup" in prod.done("backup", "prod", "--type", "diff", "--plan")
    assert listed(prod) == before


def test_a_dump_by_wish_stands_in_the_list_and_is_proven_again(prod: Stack):
    dump = json.loads(prod.done("backup", "prod", "--logical", "--json"))
    assert dump["id"] in prod.done("backup", "list")
    prod.done("backup", "verify", dump["id"])


@pytest.mark.parametrize("kind", ["incr", "diff", "full"])
def test_the_schedule_takes_what_is_due_and_postgres_is_left_alone(prod: Stack, kind: str):
    postgres = prod.containers()["postgres"]
    known = {each["label"] for each in listed(prod)}
    prod.done("config", "apply", "prod", **{f"OPENTR_BACKUP_{kind.upper()}_EVERY": "1s"})
    wait_until(lambda: any(each["label"] not in known for each in listed(prod)))
    prod.done("config", "apply", "prod")
    first = next(each for each in listed(prod) if each["label"] not in known)
    assert (first["kind"], first["reason"]) == (kind, "schedule")
    assert prod.containers()["postgres"].id == postgres.id


def test_another_pgbackrest_is_told_as_what_it_is_and_nothing_is_begun(prod: Stack):
    before = listed(prod)
    lock = f"exec flock {REPOSITORY}/lock/main-backup-1.lock sh -c 'echo held; exec cat'"
    command = ["docker", "exec", "-i", prod.containers()["backup"].id, "sh", "-c", lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        said = prod("backup", "prod")
        holder.stdin.close()
    assert said.returncode == 4, said.stderr
    assert said.stderr.splitlines()[-2:] == [
        "another backup is at work, no second one was begun: a pgBackRest that isn't ours",
        "try again when it has ended; how it fares: ./opentr.sh logs prod backup",
    ]
    assert listed(prod) == before


def test_a_lost_passphrase_comes_back_or_stops_the_backup_before_it_begins(prod: Stack):
    secrets = prod.state / "secrets"
    passphrase, cipher = secrets / "backup_passphrase", secrets / "pgbackrest_cipher"
    kept = {file: file.read_text() for file in (passphrase, cipher)}
    passphrase.unlink()
    said = prod("backup", "prod")
    assert said.returncode == 0, said.stderr
    assert "secrets/backup_passphrase was gone; it is there again" in said.stderr
    assert passphrase.read_text() == kept[passphrase]
    cipher.unlink()
    taken(prod)
    assert cipher.read_text() == kept[cipher]
    before = listed(prod)
    passphrase.unlink()
    cipher.unlink()
    said = prod("backup", "prod")
    assert said.returncode == 4, said.stderr
    assert said.stderr.splitlines()[-2].startswith(f"{passphrase} is gone: ")
    assert listed(prod) == before
    passphrase.write_text(kept[passphrase])
    assert taken(prod)["error"] is False


def test_without_a_running_database_no_backup_is_taken_and_the_old_ones_are_listed(prod: Stack):
    prod.done("stop", "prod", "postgres")
    said = prod("backup", "prod")
    assert (said.returncode, said.stderr.splitlines()[-2:]) == (
        4,
        ["postgres is not running", "start it: ./opentr.sh start prod"],
    )
    assert listed(prod)
    prod.done("start", "prod")
