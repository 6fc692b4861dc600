"""The backup programs of the image, on the containers of a prod of its own: without the tool, as they answer it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from opentr.settings import CHECKOUT
from tests.stacks import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.containers import Engine

WRITERS = 6
SIGKILLED = 137
LOAD = r"""
BEGIN;
INSERT INTO public.tag (name) VALUES (md5(random()::text || clock_timestamp()::text));
UPDATE public."user" SET full_name = md5(random()::text) WHERE id = 1;
END;
"""


class Programs:
    """A prod whose backups are only those that a test asks for."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def inside(self, service: str, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in a running service."""
        container = self.stack.containers()[service].id
        command = ["docker", "exec", "-i", container, *argv]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def once(self, service: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program in a container of its own."""
        return subprocess.run(
            [*self._compose, "run", "--rm", "--no-deps", "-T", service, *argv],
            capture_output=True,
            text=True,
            check=False,
        )

    def compose(self, *words: str) -> None:
        subprocess.run([*self._compose, *words], capture_output=True, check=True)

    @property
    def _compose(self) -> list[str]:
        file, variables = CHECKOUT / "docker-compose.prod.yml", self.stack.state / "compose.env"
        options = ["--project-name", self.stack.project, "--project-directory", str(CHECKOUT)]
        files = ["--env-file", str(variables), "--file", str(file), "--profile", "*"]
        return ["docker", "compose", *options, *files, "--progress", "quiet"]

    def take(self, kind: str = "incr") -> dict[str, Any]:
        return last_line(self.inside("backup", "take_backup", kind, "test"))

    def prove(self, label: str) -> dict[str, Any]:
        return last_line(self.once("proof", "prove_backup", label))

    def psql(self, sql: str) -> str:
        said = self.inside("postgres", "psql", "-XAtq", "-U", "postgres", "-d", "opentranscribe", "-c", sql)
        assert said.returncode == 0, said.stderr
        return said.stdout.strip()

    def manifest(self, label: str) -> dict[str, Any]:
        said = self.inside("backup", "cat", f"/var/lib/pgbackrest/manifests/{label}.json")
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    @contextmanager
    def writers(self) -> Iterator[list[str]]:
        """Writers through the pool for as long as the block lasts; what they say afterwards is added to the list."""
        said: list[str] = []
        self.inside("postgres", "sh", "-c", "cat >/tmp/load.sql", stdin=LOAD)
        load = f"exec pgbench -n -h pgbouncer -p 6432 -U app_rw -c {WRITERS} -T 120 -f /tmp/load.sql opentranscribe"
        login = "PGPASSWORD=$(cat /run/secrets/app_rw_password)"
        container = self.stack.containers()["postgres"].id
        command = ["docker", "exec", container, "sh", "-c", f"echo $$ >/tmp/load.pid; {login} {load}"]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            yield said
        finally:
            # Until it is over by itself: pgbench counts failures then alone.
            self.inside("postgres", "sh", "-c", "kill -INT $(cat /tmp/load.pid)")
            said.append(running.communicate()[0])


def last_line(said: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a program answers; it fails exactly if that names a fault."""
    assert said.stdout, said.stderr
    *progress, last = said.stdout.splitlines()
    assert [line for line in progress if not line.startswith("progress: ")] == []
    answer: dict[str, Any] = json.loads(last)
    assert ("fault" in answer) == (said.returncode != 0), said.stderr
    return answer


@pytest.fixture(scope="module")
def programs(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    never = {f"OPENTR_BACKUP_{kind}_EVERY": "none" for kind in ("FULL", "DIFF", "INCR")}
    stack = Stack(engine, tmp_path_factory.mktemp("state"), settings={**never, "OPENTR_BACKUP_RETENTION_FULL": "2"})
    try:
        stack.done("start", "prod")
        yield Programs(stack)
    finally:
        stack.remove()


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


def test_a_restore_that_differs_is_told_by_table(programs: Programs) -> None:
    label = programs.take()["label"]
    file = f"/var/lib/pgbackrest/manifests/{label}.json"
    change = f"jq '.tables[\"public.without_key\"].rows = 7' {file} >/tmp/m && cat /tmp/m >{file}"
    assert programs.inside("backup", "sh", "-c", change).returncode == 0
    assert programs.prove(label)["objects"] == ["table public.without_key: 7 rows in the manifest, 1 restored"]


def test_a_backup_that_was_killed_does_not_stop_the_next_one(programs: Programs) -> None:
    killed = programs.inside("backup", "timeout", "--signal=KILL", "0.7", "take_backup", "full", "killed")
    assert killed.returncode == SIGKILLED, "it was done before"
    assert programs.take()["error"] is False


def test_a_damaged_page_is_told_with_its_file(programs: Programs) -> None:
    programs.psql("CREATE TABLE public.damaged AS SELECT generate_series(1, 1000) AS one; CHECKPOINT")
    path = programs.psql("SELECT pg_relation_filepath('public.damaged')")
    write = f"printf GARBAGE | dd of=/var/lib/postgresql/data/{path} bs=1 seek=12000 conv=notrunc"
    assert programs.inside("postgres", "sh", "-c", write).returncode == 0
    answer = programs.take()
    assert answer["fault"] == "pages"
    assert answer["object"].startswith(f"file {path}")
    programs.psql("DROP TABLE public.damaged")


def test_the_only_proven_backup_is_never_expired(programs: Programs) -> None:
    def prove(label: str) -> None:
        receipt = json.dumps(programs.prove(label))
        assert last_line(programs.inside("backup", "keep_receipt", label, stdin=receipt))["ok"] is True

    proven = programs.take("full")["label"]
    prove(proven)
    programs.take("full")
    newest = programs.take("full")
    assert newest["expired"] == []
    prove(newest["label"])
    assert proven in programs.take("full")["expired"]


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
