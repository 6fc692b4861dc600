"""start, stop and restart, as a user types them."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg2
import pytest

from tests.e2e.watching import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

INFRA = ("postgres", "pgbouncer", "redis")
SERVICES = (*INFRA, "api", "worker")


@pytest.fixture(scope="module")
def started(stacks: MakeStack) -> Stack:
    """A dev stack that `start` made out of nothing; its tests leave all of it running."""
    made = stacks()
    made.done("start", "dev")
    return made


def password(stack: Stack, role: str) -> str:
    return (stack.state / "secrets" / f"{role}_password").read_text().strip()


def connect(stack: Stack, service: str, port: int, role: str = "app_rw") -> psycopg2.extensions.connection:
    host, _, number = stack.address(service, port).partition(":")
    return psycopg2.connect(
        host=host, port=number, user=role, password=password(stack, role), dbname="opentranscribe", connect_timeout=10
    )


@contextmanager
def asking(stack: Stack) -> Iterator[list[str]]:
    """Clients that keep asking through the pool meanwhile, on connections that stay and on new ones; their errors."""
    errors: list[str] = []
    told, first = threading.Event(), threading.Barrier(3)

    def ask(*, anew: bool) -> None:
        connection = connect(stack, "pgbouncer", 6432)
        begun = False
        while not told.is_set():
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT count(*) FROM media_file")
                if anew:
                    connection.close()
                    connection = connect(stack, "pgbouncer", 6432)
            except psycopg2.Error as error:
                errors.append(str(error))
                connection.close()
                connection = connect(stack, "pgbouncer", 6432)
            if not begun:
                begun = True
                first.wait()
        connection.close()

    threads = [threading.Thread(target=ask, kwargs={"anew": anew}) for anew in (True, False)]
    for thread in threads:
        thread.start()
    first.wait()
    yield errors
    told.set()
    for thread in threads:
        thread.join()


def ids(stack: Stack) -> dict[str, str]:
    return {name: each.id for name, each in stack.containers().items()}


def starts(stack: Stack) -> dict[str, object]:
    return {name: each.started for name, each in stack.containers().items()}


def test_start_makes_everything_from_nothing(started: Stack):
    health = json.loads(started.done("health", "--json"))
    assert health == {"healthy": True, "services": dict.fromkeys(SERVICES, "healthy")}
    with closing(connect(started, "pgbouncer", 6432)) as pooled, pooled.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "user" WHERE is_superuser')
        assert cursor.fetchone() == (1,)


def test_start_tells_where_everything_is(started: Stack):
    said = started("start")
    assert said.returncode == 0
    assert f"http://{started.address('api', 8000)}" in said.stdout
    assert f"@{started.address('pgbouncer', 6432)}/opentranscribe" in said.stdout
    assert f"{started.state}/secrets/admin_password" in said.stdout
    assert (started.state / "secrets/admin_password").read_text().strip() not in said.stdout + said.stderr


def test_a_second_start_does_nothing(started: Stack):
    before = ids(started)
    said = started("start")
    assert said.returncode == 0
    assert "nothing to do: everything is as it should be" in said.stderr
    assert ids(started) == before
    assert "nothing to do" in started.done("start", "--plan")


def test_stop_and_start_keep_the_data(started: Stack):
    started.done("psql", "-c", "INSERT INTO tag (name) VALUES ('kept')")
    before = ids(started)
    started.done("stop")
    assert {each.state for each in started.containers().values()} == {"exited"}
    assert "nothing is running" in started.done("status")
    said = started("stop")
    assert (said.returncode, "nothing to do" in said.stderr) == (0, True)
    started.done("start")
    assert ids(started) == before
    assert started.done("psql", "-Atc", "SELECT name FROM tag WHERE name = 'kept'") == "kept\n"


KILL_BELOW_THE_KEEPER = """
import os, pathlib, signal
for place in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        keeps = (place / "cmdline").read_text().split("\\0")[1:3] == ["-m", "app.reload"]
    except OSError:  # it has ended meanwhile
        continue
    if keeps:
        os.kill(int((place / f"task/{place.name}/children").read_text()), signal.SIGKILL)
"""


@pytest.mark.parametrize("service", ["api", "worker"])
def test_a_program_that_is_killed_in_its_container_is_started_again(started: Stack, service: str):
    before = starts(started)
    started.done("exec", service, "--", "python", "-c", KILL_BELOW_THE_KEEPER)
    wait_until(lambda: "the program has ended (SIGKILL)" in started.done("logs", "dev", service))
    wait_until(lambda: started("exec", service, "--", "python", "-m", "app.healthcheck", service).returncode == 0)
    assert starts(started) == before


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_restarts_alone(started: Stack, service: str):
    before = starts(started)
    started.done("restart", "dev", service)
    after = starts(started)
    assert {name for name in SERVICES if before[name] != after[name]} == {service}
    assert started("health").returncode == 0


def test_clients_of_the_pool_do_not_notice_a_restart_of_postgres(started: Stack):
    with asking(started) as errors:
        started.done("restart", "dev", "postgres")
    assert errors == []


def test_the_older_names_restart_too(started: Stack):
    before = starts(started)
    started.done("restart-backend")
    after = starts(started)
    assert {name for name in SERVICES if before[name] != after[name]} == {"api", "worker"}
    started.done("restart-all")
    assert all(after[name] != now for name, now in starts(started).items())


def test_rebuild_backend_keeps_the_images_of_the_others(started: Stack):
    before = {name: each.image for name, each in started.containers().items()}
    started.done("rebuild-backend")
    assert {name: each.image for name, each in started.containers().items()} == before
    said = started("rebuild-backend", "prod", OPENTR_PROJECT=f"{started.project}-p")
    assert (said.returncode, said.stderr.splitlines()[-1]) == (3, "type ./opentr.sh deploy prod")


def test_a_changed_setting_is_taken_on_by_the_services_that_read_it(started: Stack):
    before = ids(started)
    with asking(started) as errors:
        started.done("start", OPENTR_POSTGRES_SLOW_STATEMENT_MS="1234")
    assert errors == []
    assert started.done("psql", "-Atc", "SHOW log_min_duration_statement") == "1234ms\n"
    assert {name for name, one in ids(started).items() if one != before[name]} == {"postgres"}
    started.done("restart", "dev", "postgres")
    assert started.done("psql", "-Atc", "SHOW log_min_duration_statement") == "500ms\n"


def test_a_changed_password_is_taken_on(started: Stack):
    file = started.state / "secrets/app_rw_password"
    old = password(started, "app_rw")
    file.unlink()
    file.write_text("another-password-of-ours\n")
    file.chmod(0o444)
    assert "ALTER ROLE app_rw PASSWORD" in started.done("start", "--plan")
    said = started("start")
    assert said.returncode == 0, said.stderr
    for service, port in (("pgbouncer", 6432), ("postgres", 5432)):
        connect(started, service, port).close()
    for secret in (old, "another-password-of-ours"):
        assert secret not in said.stdout + said.stderr + (started.state / "opentr.log").read_text()
    assert started("health").returncode == 0


def test_infra_alone_is_enough_for_those_who_run_the_app_elsewhere(stack: Stack):
    stack.done("start", "--profile", "infra")
    assert set(stack.containers()) == set(INFRA)
    assert stack("health").returncode == 0
    connect(stack, "pgbouncer", 6432).close()


def test_dev_and_prod_run_side_by_side(started: Stack, stack: Stack):
    stack.done("start", "prod")
    assert set(stack.containers()) == {*SERVICES, "proxy", "backup"}
    assert stack("health", "prod").returncode == 0
    assert started("health").returncode == 0
    assert json.loads((stack.state / "release.json").read_text())["version"]
    said = stack("start", "prod", OPENTR_POSTGRES_SLOW_STATEMENT_MS="1234")
    assert "config/postgres/postgresql.conf" in said.stderr
    assert "./opentr.sh config apply prod" in said.stderr
    assert stack.done("psql", "prod", "-Atc", "SHOW log_min_duration_statement") == "500ms\n"
    assert stack.done("psql", "prod", "-Atc", "SELECT current_user") == "app_ro\n"
    refused = stack("psql", "prod", "-c", "CREATE TABLE x ()")
    assert refused.returncode != 0
    assert "read-only transaction" in refused.stderr
    assert stack.done("psql", "prod", "--write", "-Atc", "SELECT current_user") == "app_owner\n"


def test_a_port_that_is_taken_is_named(stack: Stack):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = stack("start", OPENTR_REDIS_PORT=str(port))
    assert said.returncode == 4
    what, hint = said.stderr.splitlines()[-2:]
    assert str(port) in what
    assert "OPENTR_REDIS_PORT" in hint
    stack.done("start", "--profile", "infra")
