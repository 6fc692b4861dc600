from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from opentr import credentials, render, settings, sizing, state
from opentr.errors.settings import SettingInvalid
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from opentr.settings import Settings
    from opentr.state import State

ALONE = {"OPENTR_ENV_FILE": "none", "OPENTR_POSTGRES_CPUS": "2"}
IMAGES = {name: f"opentr-dev/{name}:0123456789abcdef" for name in render.SERVICES}


def chosen(environment: str = "dev", **variables: str) -> Settings:
    return settings.read(environment, ALONE | variables)


@pytest.fixture
def opened(tmp_path: Path) -> State:
    return state.opened(chosen(OPENTR_STATE_DIR=str(tmp_path)))


def digests(opened: State, **variables: str) -> dict[str, str]:
    """Each service's digest with these settings and the state's secrets."""
    secrets = credentials.ensure(opened)
    files = render.files(chosen(**variables), secrets)
    return {service: render.config_digest(service, opened, files, secrets) for service in render.SERVICES}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {service for service in before if before[service] != after[service]}


def directives(text: str) -> dict[str, str]:
    """The `name = value` and `name value` lines of a configuration."""
    lines = [line for line in text.splitlines() if line and line[0] not in "#;["]
    return {
        name: value.strip()
        for name, _, value in (re.sub(r"\s*=\s*|\s+", "\0", line, count=1).partition("\0") for line in lines)
    }


def test_a_template_is_written_where_it_lies():
    assert list(render.configuration(chosen("prod"))) == [
        "config/backup/pgbackrest.conf",
        "config/backup/schedule.conf",
        "config/pgbouncer/pgbouncer.ini",
        "config/postgres/pg_hba.conf",
        "config/postgres/pg_ident.conf",
        "config/postgres/postgresql.conf",
        "config/proxy/haproxy.cfg",
        "config/redis/redis.conf",
    ]


def test_dev_has_no_proxy_and_no_backups(opened: State):
    files = render.files(chosen("dev"), credentials.ensure(opened))
    assert not [name for name in files if "proxy" in name or "backup" in name or "pgbackrest" in name]


def test_dev_archives_nothing_and_prod_all():
    archiving = {
        name: directives(render.configuration(chosen(name))["config/postgres/postgresql.conf"]).get("archive_mode")
        for name in ("dev", "prod")
    }
    assert archiving == {"dev": None, "prod": "on"}


def test_a_schedule_is_given_in_seconds():
    prod = chosen("prod", OPENTR_BACKUP_INCR_EVERY="15m", OPENTR_BACKUP_DIFF_EVERY="none")
    lines = render.configuration(prod)["config/backup/schedule.conf"].splitlines()
    assert lines[1:] == ["FULL_EVERY=604800", "DIFF_EVERY=0", "INCR_EVERY=900"]


def test_what_backups_are_made_with_never_makes_postgres_anew(opened: State):
    secrets = credentials.ensure(opened)

    def of(**variables: str) -> dict[str, str]:
        prod = chosen("prod", **variables)
        files = render.files(prod, secrets, images={"api": variables.get("OPENTR_PROJECT", "one")})
        return {service: render.config_digest(service, opened, files, secrets) for service in render.SERVICES}

    assert changed(of(), of(OPENTR_BACKUP_RETENTION_FULL="3")) == {"backup"}
    assert changed(of(), of(OPENTR_BACKUP_INCR_EVERY="2h")) == {"backup"}
    assert changed(of(), of(OPENTR_POSTGRES_ARCHIVE_TIMEOUT="30")) == {"postgres"}


def test_a_release_is_no_reason_to_make_the_backup_service_anew(opened: State):
    secrets = credentials.ensure(opened)
    one, other = (render.files(chosen("prod"), secrets, images={"api": f"x/api:{number}"}) for number in (1, 2))
    assert one[render.RELEASE] != other[render.RELEASE]
    assert render.config_digest("backup", opened, one, secrets) == render.config_digest(
        "backup", opened, other, secrets
    )


def test_the_backups_are_encrypted_with_a_passphrase_that_only_its_own_file_holds(opened: State):
    secrets = credentials.ensure(opened)
    files = render.files(chosen("prod"), secrets)
    passphrase = secrets["backup_passphrase"].reveal()
    assert [name for name, text in files.items() if passphrase in text] == ["secrets/pgbackrest_cipher"]
    assert files["secrets/pgbackrest_cipher"] == f"[global]\nrepo1-cipher-pass={passphrase}\n"
    assert directives(files["config/backup/pgbackrest.conf"])["repo1-cipher-type"] == "aes-256-cbc"


def test_the_same_settings_give_the_same_text(opened: State):
    secrets = credentials.ensure(opened)
    assert render.files(chosen(), secrets) == render.files(chosen(), secrets)


def test_no_configuration_holds_a_secret(opened: State):
    secrets = credentials.ensure(opened)
    files = render.files(chosen("prod"), secrets)
    variables = render.compose_variables(chosen("prod"), opened, files, secrets, IMAGES)
    public = [text for name, text in files.items() if name.startswith("config/")] + list(variables.values())
    assert not [text for text in public if any(secret in text for secret in secrets.values())]


def test_derived_secrets_hold_no_more_than_needed(opened: State):
    secrets = credentials.ensure(opened)
    files = render.files(chosen(), secrets)
    assert files["secrets/pgbouncer_userlist"] == f'"pgb_auth" "{secrets["pgb_auth_password"].reveal()}"\n'
    hashed = hashlib.sha256(secrets["redis_password"].reveal().encode()).hexdigest()
    assert f"#{hashed} " in files["secrets/redis_users"]
    assert "user default reset off " in files["secrets/redis_users"]
    assert not [text for text in secrets.values() if text in files["secrets/redis_users"]]


def test_a_setting_changes_the_digests_of_the_services_that_read_it(opened: State):
    now = digests(opened)
    assert changed(now, digests(opened, OPENTR_PGBOUNCER_QUERY_WAIT_TIMEOUT="60")) == {"pgbouncer"}
    assert changed(now, digests(opened, OPENTR_POSTGRES_MEMORY="2g")) == {"postgres"}
    assert changed(now, digests(opened, OPENTR_POSTGRES_MAX_CONNECTIONS="200")) == {"postgres", "pgbouncer"}
    assert changed(now, digests(opened, OPENTR_API_PORT="8001")) == set()


@pytest.mark.parametrize(
    ("secret", "services"),
    [
        ("app_rw_password", {"api", "worker"}),
        ("redis_password", {"redis", "api", "worker"}),
        ("pgb_auth_password", {"pgbouncer"}),
        ("app_monitor_password", {"pgbouncer"}),
        ("jwt_secret", {"api"}),
        ("app_ro_password", set()),
        ("admin_password", set()),
    ],
)
def test_a_secret_changes_the_digests_of_the_services_that_use_it(opened: State, secret: str, services: set[str]):
    now = digests(opened)
    (opened.folder / "secrets" / secret).unlink()
    assert changed(now, digests(opened)) == services


def test_digests_say_nothing_to_who_does_not_know_the_states_key(tmp_path: Path, opened: State):
    other = state.opened(chosen(OPENTR_STATE_DIR=str(tmp_path / "other")))
    shutil.copytree(opened.folder / "secrets", other.folder / "secrets") if (
        opened.folder / "secrets"
    ).exists() else None
    secrets = credentials.ensure(opened)
    files = render.files(chosen(), secrets)
    assert render.config_digest("api", opened, files, secrets) != render.config_digest("api", other, files, secrets)


def test_the_variables_are_those_of_the_compose_files(opened: State):
    secrets = credentials.ensure(opened)
    for environment in ("dev", "prod"):
        text = (CHECKOUT / f"docker-compose.{environment}.yml").read_text()
        wanted, may_be_empty = (set(re.findall(rf"\$\{{(OPENTR_\w+){mark}", text)) for mark in ("", r"\?"))
        given_ = render.compose_variables(
            chosen(environment), opened, render.files(chosen(environment), secrets), secrets, IMAGES
        )
        assert wanted <= given_.keys()
        assert all(given_[name] for name in wanted - may_be_empty)


def test_an_ipv6_address_stands_in_brackets(opened: State):
    secrets = credentials.ensure(opened)
    prod = chosen("prod", OPENTR_PROXY_BIND="::1")
    variables = render.compose_variables(prod, opened, render.files(prod, secrets), secrets, IMAGES)
    assert variables["OPENTR_PROXY_BIND"] == "[::1]"


def read_by_compose(folder: Path, values: list[str]) -> list[str]:
    """What Compose makes of these values when they come to it in a file of ours."""
    variables = {f"OPENTR_V{number}": value for number, value in enumerate(values)}
    (folder / "compose.env").write_text(render.env_file(variables))
    labels = "".join(f"      v{number}: ${{OPENTR_V{number}}}\n" for number in range(len(values)))
    (folder / "compose.yml").write_text(f"services:\n  one:\n    image: x\n    labels:\n{labels}")
    command = ["docker", "compose", "--env-file", "compose.env", "-f", "compose.yml", "config", "--format", "json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPENTR_", "COMPOSE_"))}
    said = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=True)
    shown = json.loads(said.stdout)["services"]["one"]["labels"]
    # `config` prints what can be read again: a dollar sign is doubled
    return [shown[f"v{number}"].replace("$$", "$") for number in range(len(values))]


@pytest.mark.skipif(not shutil.which("docker"), reason="Compose isn't installed")
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(st.lists(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])), min_size=1, max_size=40))
@example(
    [
        "a b",
        "a#b",
        "a #b",
        "'",
        '"',
        "\\",
        "\\\\",
        "$",
        "$$",
        "${HOME}",
        "$HOME",
        "\\n",
        "a\\",
        "'\"$\\",
        "",
        " ",
        "=x",
        "`id`",
    ]
)
def test_compose_reads_every_value_as_it_was_written(tmp_path: Path, values: list[str]):
    assert read_by_compose(tmp_path, values) == values


POSTGRES = [
    *CHECKOUT.glob(".cache/debian/*/usr/lib/postgresql/17/bin/postgres"),
    Path("/usr/lib/postgresql/17/bin/postgres"),
]


def postgres_says(folder: Path, name: str, text: str) -> str:
    """What PostgreSQL 17 takes for one of its settings, from this configuration."""
    program = next((file for file in POSTGRES if file.exists()), None)
    if program is None:
        pytest.skip("PostgreSQL 17 isn't here")
    folder.chmod(0o700)
    for file, content in ((folder / "postgresql.conf", text), (folder / "PG_VERSION", "17\n")):
        file.write_text(content)
    places = [f"--config-file={folder}/postgresql.conf", f"--data-directory={folder}"]
    said = subprocess.run([program, "-C", name, *places], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return said.stdout.strip()


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("memory", ["256m", "1g", "7g", "64g"])
def test_postgres_takes_its_configuration(tmp_path: Path, environment: str, memory: str):
    text = render.configuration(chosen(environment, OPENTR_POSTGRES_MEMORY=memory))["config/postgres/postgresql.conf"]
    assert postgres_says(tmp_path, "max_connections", text) == "100"


def test_the_memory_of_postgres_follows_its_limit():
    def sizes(memory: str, connections: str = "100") -> list[int]:
        found = sizing.memory(
            chosen(OPENTR_POSTGRES_MEMORY=memory, OPENTR_POSTGRES_MAX_CONNECTIONS=connections).postgres
        )
        parts = (found.shared_buffers, found.effective_cache_size, found.maintenance_work_mem, found.work_mem)
        return [part // sizing.MB for part in parts]

    assert sizes("1g") == [256, 768, 64, 4]
    assert sizes("16g") == [4096, 12288, 1024, 40]
    assert sizes("16g", "400") == [4096, 12288, 1024, 10]
    assert sizes("64g")[2] == 2048


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_nothing_that_was_acknowledged_is_lost_in_prod_and_no_cluster_is_ever_torn(environment: str):
    conf = directives(render.configuration(chosen(environment))["config/postgres/postgresql.conf"])
    assert (conf["fsync"], conf["full_page_writes"]) == ("on", "on")
    assert conf["synchronous_commit"] == {"dev": "off", "prod": "on"}[environment]


def test_nobody_comes_in_without_a_password_and_no_superuser_by_tcp():
    lines = render.configuration(chosen())["config/postgres/pg_hba.conf"].splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert {rule[-1] for rule in rules if rule[0] == "host"} == {"scram-sha-256", "reject"}
    admitted = [rule for rule in rules if rule[0] == "host" and rule[-1] != "reject"]
    assert not [rule for rule in admitted if {"postgres", "app_backup", "app_owner", "all"} & set(rule[2].split(","))]
    assert rules[-1] == ["host", "all", "all", "all", "reject"]


@pytest.mark.parametrize("connections", [30, 60, 100, 500, 2000])
@pytest.mark.parametrize("processes", [1, 8, 64])
def test_all_pools_together_leave_postgres_connections_for_the_direct_ways(connections: int, processes: int):
    sizes = sizing.pool(chosen(OPENTR_POSTGRES_MAX_CONNECTIONS=str(connections), OPENTR_API_PROCESSES=str(processes)))
    assert sizes.pool_size >= 1
    together = sizes.pool_size + sizing.RESERVE + sum(sizing.SIDE_POOLS.values())
    assert together <= sizes.max_db_connections == connections - sizing.SUPERUSERS - sizing.DIRECT
    assert sizes.max_clients >= max(2000, sizing.PER_PROCESS * (processes + 1))


def test_a_pool_that_does_not_fit_is_refused():
    with pytest.raises(SettingInvalid, match="74 is more than the 73 that OPENTR_POSTGRES_MAX_CONNECTIONS leaves"):
        render.configuration(chosen(OPENTR_PGBOUNCER_POOL_SIZE="74"))
    assert sizing.pool(chosen(OPENTR_PGBOUNCER_POOL_SIZE="73")).pool_size == 73


def test_the_explanation_has_the_figures_that_are_rendered():
    for variables in ({}, {"OPENTR_PGBOUNCER_POOL_SIZE": "31", "OPENTR_PGBOUNCER_MAX_CLIENTS": "4321"}):
        explained = "\n".join(sizing.explain(chosen(**variables)))
        conf = directives(render.configuration(chosen(**variables))["config/pgbouncer/pgbouncer.ini"])
        assert f"max_db_connections = {conf['max_db_connections']}:" in explained
        assert f"pool_size of app_rw = {conf['default_pool_size']}:" in explained
        assert f"max_client_conn = {conf['max_client_conn']}:" in explained


def test_every_user_of_the_pool_is_named_with_its_size():
    text = render.configuration(chosen())["config/pgbouncer/pgbouncer.ini"]
    named = set(re.findall(r"^(\w+) = pool_size=\d+", text, re.MULTILINE))
    looked_up = re.search(r"usename IN \(([^)]*)\)", (CHECKOUT / "database" / "roles.sql").read_text())
    assert looked_up
    assert named == {*re.findall(r"'(\w+)'", looked_up[1]), "pgb_auth"}


def test_redis_refuses_rather_than_forgets_and_leaves_room():
    conf = directives(render.configuration(chosen(OPENTR_REDIS_MEMORY="1g"))["config/redis/redis.conf"])
    assert (conf["appendonly"], conf["maxmemory-policy"]) == ("yes", "noeviction")
    assert 0 < int(conf["maxmemory"]) < 1024**3 * 0.7


def test_an_unknown_name_in_a_template_fails(tmp_path: Path):
    (tmp_path / "config" / "redis").mkdir(parents=True)
    (tmp_path / "config" / "redis" / "redis.conf.j2").write_text("{{ settings.redis.memry }}")
    with pytest.raises(Exception, match="memry"):
        render.configuration(chosen(), tmp_path)
