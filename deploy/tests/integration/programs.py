"""The backup programs of the image, in the containers of a prod of its own, asked without the tool."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentr.settings import CHECKOUT
from tests.stacks import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.containers import Engine

REPOSITORY = "/var/lib/pgbackrest"
RETENTION_FULL = 2
WRITERS = 6
LOAD = r"""
BEGIN;
INSERT INTO public.tag (name) VALUES (md5(random()::text || clock_timestamp()::text));
UPDATE public."user" SET full_name = md5(random()::text) WHERE id = 1;
END;
"""
COUNTING = """\
\\set sums {sums}
BEGIN;
{change};
\\i /usr/local/share/opentr/session.sql
\\i /usr/local/share/opentr/count_tables.sql
ROLLBACK;
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

    def once(
        self, service: str, *argv: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in a container of its own."""
        given = [word for name, value in (environment or {}).items() for word in ("--env", f"{name}={value}")]
        return subprocess.run(
            [*self._compose, "run", "--rm", "--no-deps", "-T", *given, service, *argv],
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

    def prove(self, label: str, **functions: str) -> dict[str, Any]:
        """What a proof answers; bash takes these functions from its environment, in the place of programs."""
        environment = {f"BASH_FUNC_{name}%%": f"() {{ {body}; }}" for name, body in functions.items()}
        return last_line(self.once("proof", "prove_backup", label, environment=environment))

    def prove_for_good(self, label: str) -> None:
        """Prove a backup and keep the receipt, as the tool does."""
        receipt = json.dumps(self.prove(label))
        assert last_line(self.inside("backup", "keep_receipt", label, stdin=receipt))["ok"] is True

    def listed(self) -> list[dict[str, Any]]:
        """All backups, as pgBackRest tells of them."""
        [stanza] = json.loads(self.inside("backup", "pgbackrest", "--stanza=main", "info", "--output=json").stdout)
        found: list[dict[str, Any]] = stanza["backup"]
        return found

    def log(self) -> set[str]:
        """The segments of the log that are archived."""
        said = self.inside("backup", "find", f"{REPOSITORY}/archive", "-name", "0*-*", "-printf", "%f\n")
        return {line[:24] for line in said.stdout.splitlines()}

    def psql(self, sql: str) -> str:
        said = self.inside("postgres", "psql", "-XAtq", "-U", "postgres", "-d", "opentranscribe", "-c", sql)
        assert said.returncode == 0, said.stderr
        return said.stdout.strip()

    def manifest(self, label: str) -> dict[str, Any]:
        said = self.inside("backup", "cat", f"{REPOSITORY}/manifests/{label}.json")
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def rewrite_manifest(self, label: str, manifest: dict[str, Any]) -> None:
        """Put this in the place of what was written down."""
        write = f"cat >{REPOSITORY}/manifests/{label}.json"
        assert self.inside("backup", "sh", "-c", write, stdin=json.dumps(manifest)).returncode == 0

    def sums(self, change: str = "", *, sums: str = "columns") -> dict[str, str]:
        """What a manifest would say of each table's content after this change, which is taken back."""
        script = COUNTING.format(change=change, sums=sums)
        psql = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "opentranscribe", "-f", "-"]
        said = self.inside("postgres", *psql, stdin=script)
        assert said.returncode == 0, said.stderr
        return {each["table"]: each["sum"] for each in map(json.loads, said.stdout.splitlines())}

    @contextmanager
    def started(self, script: str, word: str) -> Iterator[subprocess.Popen[str]]:
        """A shell script in `backup`, when it has said the word; its input ends with the block."""
        command = ["docker", "exec", "-i", self.stack.containers()["backup"].id, "sh", "-c", script]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            assert any(word in line for line in running.stdout), "it ended before"
            yield running
            assert running.stdin is not None
            running.stdin.close()

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


@contextmanager
def prod_without_schedule(engine: Engine, state: Path) -> Iterator[Programs]:
    """A prod whose schedule takes nothing; gone after the block."""
    never = {f"OPENTR_BACKUP_{kind}_EVERY": "none" for kind in ("FULL", "DIFF", "INCR")}
    stack = Stack(engine, state, settings={**never, "OPENTR_BACKUP_RETENTION_FULL": str(RETENTION_FULL)})
    try:
        stack.done("start", "prod")
        yield Programs(stack)
    finally:
        stack.remove()
