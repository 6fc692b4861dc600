"""The Compose files, as Compose itself reads them: each service of them holds what design §3 demands of each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from typing import Any

import pytest

from opentr.runtimes.images import image_of
from opentr.settings import CHECKOUT

ENVIRONMENTS = {name: CHECKOUT / f"docker-compose.{name}.yml" for name in ("dev", "prod")}
_NAME = re.compile(r"^  (\w+):$", re.MULTILINE)


def services_of(name: str) -> list[str]:
    """The services that the file names, without asking Compose: so that tests can be listed where there is none."""
    text = ENVIRONMENTS[name].read_text(encoding="utf-8")
    return _NAME.findall(text[text.index("\nservices:\n") : text.index("\nnetworks:\n")])


EVERY_SERVICE = [
    pytest.param(name, service, id=f"{name}-{service}") for name in ENVIRONMENTS for service in services_of(name)
]
ONE_OFFS = {"migrate", "proof", "restore"}
LASTING = [given for given in EVERY_SERVICE if given.values[1] not in ONE_OFFS]
ONLY_PROD = {"proxy", "backup", "proof", "restore"}
LIMITS = {"migrate": "API", "proof": "BACKUP", "restore": "BACKUP"}
"""Whose settings limit a service, where they aren't its own."""
REPOSITORY = "/var/lib/pgbackrest"
DATA = "/var/lib/postgresql"
DEV_PORTS = {"postgres": 5432, "pgbouncer": 6432, "redis": 6379, "api": 8000}
NETWORKS = {
    "proxy": {"edge"},
    "api": {"edge", "app"},
    "worker": {"app"},
    "pgbouncer": {"app", "db"},
    "redis": {"app"},
    "postgres": {"db"},
    "migrate": {"db"},
    "backup": set(),
    "proof": set(),
    "restore": set(),
}
NEEDS = {
    "proxy": {"api"},
    "api": {"pgbouncer", "redis"},
    "worker": {"pgbouncer", "redis"},
    "pgbouncer": {"postgres"},
    "redis": set(),
    "postgres": set(),
    "migrate": {"postgres"},
    "backup": {"postgres"},
    "proof": set(),
    "restore": set(),
}
PROFILES = {
    "proxy": {"app"},
    "api": {"app"},
    "worker": {"app"},
    "pgbouncer": {"infra", "app"},
    "redis": {"infra", "app"},
    "postgres": {"infra", "app", "ops"},
    "migrate": {"ops"},
    "backup": {"app"},
    "proof": {"ops"},
    "restore": {"ops"},
}
USERS = {
    "postgres": 10001,
    "pgbouncer": 10002,
    "redis": 10003,
    "api": 10004,
    "worker": 10004,
    "migrate": 10004,
    "proxy": 10005,
    "backup": 10001,
    "proof": 10001,
    "restore": 10001,
}
STOP_SIGNALS = {
    "postgres": "SIGINT",  # fast shutdown; SIGTERM waits for clients
    "pgbouncer": "SIGINT",  # after the transactions; SIGTERM waits for clients
    "redis": "SIGTERM",
    "api": "SIGTERM",
    "worker": "SIGTERM",  # what doesn't end in time goes back to the queue
    "migrate": "SIGINT",  # cancels its statement
    "proxy": "SIGUSR1",  # after the last request
    "backup": "SIGTERM",  # ends pgBackRest
    "proof": "SIGTERM",
    "restore": "SIGTERM",
}
HIDDEN_WORDS = re.compile(r"PASSWORD|SECRET|TOKEN|KEY", re.IGNORECASE)
PASSWORD_IN_URL = re.compile(r"://[^/@\s]*:[^/@\s]*@")


@cache
def variables(name: str) -> dict[str, str]:
    """A value for each variable of the file, of the kind that it wants, and different from all others."""
    text = ENVIRONMENTS[name].read_text(encoding="utf-8")
    wanted = sorted(set(re.findall(r"\$\{(OPENTR_\w+)", text)))
    kinds = {"MEMORY": "536870912", "SIZE": "268435456", "CPUS": "1.5", "PIDS": "200", "PORT": "0", "BIND": "127.0.0.1"}
    values = {key: kinds.get(key.rpartition("_")[2], key.lower().replace("_", "-")) for key in wanted}
    return values | {"OPENTR_STATE": "/the state", "OPENTR_CHECKOUT": str(CHECKOUT)}


@cache
def compose_config(name: str, project: str = "opentr-unit") -> dict[str, Any]:
    """The file as Compose reads it."""
    docker = shutil.which("docker")
    if docker is None or not _has_compose(docker):
        assert os.environ.get("CI") != "true", "no docker compose: scripts/docker_engine.sh gives one"
        pytest.skip("no docker compose: scripts/docker_engine.sh --install gives one")
    said = _config(docker, name, variables(name) | {"OPENTR_PROJECT": project})
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def _has_compose(docker: str) -> bool:
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


def _config(docker: str, name: str, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [docker, "compose", "--file", str(ENVIRONMENTS[name]), "--env-file", "/dev/null", "--profile", "*"]
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("OPENTR_", "COMPOSE_"))}
    return subprocess.run(
        [*argv, "config", "--format", "json"], env=ours | values, capture_output=True, text=True, check=False
    )


def read(name: str, service: str) -> dict[str, Any]:
    parsed: dict[str, Any] = compose_config(name)["services"][service]
    return parsed


def environment_of(service: dict[str, Any]) -> dict[str, str]:
    return service.get("environment") or {}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_services_are_those_of_the_design(name: str) -> None:
    wanted = set(NETWORKS) - (ONLY_PROD if name == "dev" else set())
    assert set(compose_config(name)["services"]) == set(services_of(name)) == wanted


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_can_write_nowhere_and_has_no_rights(name: str, service: str) -> None:
    given = read(name, service)
    assert given["user"] == f"{USERS[service]}:{USERS[service]}"
    assert given["read_only"] is True
    assert given["cap_drop"] == ["ALL"]
    assert "cap_add" not in given
    assert "privileged" not in given
    assert given["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_has_limits(name: str, service: str) -> None:
    given = read(name, service)
    limits = given["deploy"]["resources"]["limits"]
    assert {key for key in limits if limits[key]} == {"memory", "cpus", "pids"}
    assert given["logging"]["driver"] in {"local", "json-file"}  # the drivers that `docker logs` reads
    assert set(given["logging"]["options"]) == {"max-size", "max-file"}
    for place in given["tmpfs"]:
        assert "size=" in place, f"{place} could fill the memory"


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_has_the_limits_of_its_own_settings(name: str, service: str) -> None:
    text = ENVIRONMENTS[name].read_text(encoding="utf-8")
    part = text.split(f"\n  {service}:\n")[1].split("\n\n")[0]
    owner = LIMITS.get(service, service.upper())
    assert set(re.findall(r"\$\{OPENTR_(\w+)_(?:MEMORY|CPUS|PIDS|CONFIG)\b", part)) == {owner}
    assert re.findall(r"\$\{OPENTR_IMAGE_(\w+)", part) == [image_of(service).upper()]
    limits = {f"{owner}_{kind}": variables(name)[f"OPENTR_{owner}_{kind}"] for kind in ("MEMORY", "PIDS")}
    given = read(name, service)["deploy"]["resources"]["limits"]
    assert [str(given["memory"]), str(given["pids"])] == list(limits.values())


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_ends_as_it_should(name: str, service: str) -> None:
    given = read(name, service)
    assert given["stop_signal"] == STOP_SIGNALS[service]
    assert seconds(given["stop_grace_period"]) >= 30
    assert given["init"] is True
    assert given["restart"] == ("unless-stopped" if name == "prod" and service not in ONE_OFFS else "no")


@pytest.mark.parametrize(("name", "service"), LASTING)
def test_a_service_has_a_health_check_that_proves_service(name: str, service: str) -> None:
    check = read(name, service)["healthcheck"]
    ours = (
        ["CMD", "healthcheck.sh"],
        ["CMD", "backup_healthcheck"],
        ["CMD", "python", "-m", "app.healthcheck", service],
    )
    assert check["test"] in ours
    assert (check["test"] == ours[1]) == (service == "backup")
    if check["test"] == ["CMD", "healthcheck.sh"]:
        assert (CHECKOUT / "images" / service / "healthcheck.sh").is_file()
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert seconds(check["start_interval"]) <= 2
    assert seconds(check["start_period"]) >= 60
    assert check["retries"] >= 3


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_pause_of_a_minute_does_not_make_the_pool_unhealthy(name: str) -> None:
    check = read(name, "pgbouncer")["healthcheck"]
    assert check["retries"] * (seconds(check["interval"]) + seconds(check["timeout"])) > 60


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_recovery_may_take_an_hour(name: str) -> None:
    assert seconds(read(name, "postgres")["healthcheck"]["start_period"]) >= 3600


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_one_off_has_no_health_check_and_nothing_waits_for_it(name: str) -> None:
    for one_off in ONE_OFFS & set(services_of(name)):
        assert read(name, one_off)["healthcheck"] == {"disable": True}
    waiting = [service for service in services_of(name) if ONE_OFFS & set(read(name, service).get("depends_on", {}))]
    assert waiting == []


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_waits_until_what_it_needs_is_healthy(name: str, service: str) -> None:
    needs = read(name, service).get("depends_on", {})
    assert set(needs) == NEEDS[service]
    assert {need["condition"] for need in needs.values()} <= {"service_healthy"}


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_is_on_its_networks_alone(name: str, service: str) -> None:
    published = name == "dev" and service in {"postgres", "pgbouncer"}
    given = read(name, service)
    assert set(given.get("networks", {})) == NETWORKS[service] | ({"ports"} if published else set())
    assert (given.get("network_mode") == "none") == (NETWORKS[service] == set())


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_only_the_databases_network_is_internal(name: str) -> None:
    networks = compose_config(name)["networks"]
    assert set(networks) == {"edge", "app", "db"} | ({"ports"} if name == "dev" else set())
    assert [network for network, given in networks.items() if given.get("internal")] == ["db"]


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_ports_are_published_by_the_proxy_alone_and_in_dev_on_the_loopback(name: str, service: str) -> None:
    ports = [(port["host_ip"], port["target"]) for port in read(name, service).get("ports", [])]
    if name == "dev":
        assert ports == ([("127.0.0.1", DEV_PORTS[service])] if service in DEV_PORTS else [])
    else:
        assert ports == ([(variables(name)["OPENTR_PROXY_BIND"], 8080)] if service == "proxy" else [])


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_service_belongs_to_profiles(name: str, service: str) -> None:
    assert set(read(name, service)["profiles"]) == PROFILES[service]


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("profile", ["infra", "app", "ops"])
def test_a_profile_brings_what_its_services_need(name: str, profile: str) -> None:
    chosen = {service for service in services_of(name) if profile in read(name, service)["profiles"]}
    assert {need for service in chosen for need in NEEDS[service]} <= chosen


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_a_container_says_whose_it_is(name: str, service: str) -> None:
    owner = LIMITS.get(service, service.upper())
    config = variables(name)[f"OPENTR_{owner}_CONFIG"]
    assert read(name, service)["labels"] == labels(name) | {"org.opentranscribe.config": config}


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("kind", ["volumes", "networks"])
def test_volumes_and_networks_say_whose_they_are(name: str, kind: str) -> None:
    for given in compose_config(name)[kind].values():
        assert given["labels"] == labels(name)


def labels(name: str) -> dict[str, str]:
    return {
        "org.opentranscribe.project": "opentr-unit",
        "org.opentranscribe.state": variables(name)["OPENTR_STATE_ID"],
        "org.opentranscribe.checkout": str(CHECKOUT),
    }


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_secrets_are_files_of_the_state_and_never_values(name: str, service: str) -> None:
    given = read(name, service)
    for secret in given.get("secrets", []):
        assert compose_config(name)["secrets"][secret["source"]]["file"] == f"/the state/secrets/{secret['source']}"
    mounted = {f"/run/secrets/{secret['source']}" for secret in given.get("secrets", [])}
    for key, value in environment_of(given).items():
        assert not PASSWORD_IN_URL.search(value), key
        if HIDDEN_WORDS.search(key) and not key.endswith("_MINUTES"):
            assert key.endswith("_FILE"), f"{key} holds a secret"
            assert value in mounted, f"{service} is told of {value}, which it hasn't got"


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_what_is_mounted_is_read_only_unless_it_is_a_volume(name: str, service: str) -> None:
    for mount in read(name, service).get("volumes", []):
        assert mount["type"] in {"bind", "volume"}
        if mount["type"] == "bind":
            assert mount["read_only"] is True
            assert not mount["bind"].get("create_host_path")


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_configuration_is_mounted_as_a_folder(name: str, service: str) -> None:
    binds = [mount for mount in read(name, service)["volumes"] if mount["type"] == "bind"]
    state = [(mount["source"], mount["target"]) for mount in binds if mount["source"].startswith("/the state")]
    configured = service in {"postgres", "pgbouncer", "redis", "proxy"}
    backup = name == "prod" and service in {"postgres", "backup", "proof", "restore"}
    assert state == [
        *([("/the state/config/backup", "/etc/pgbackrest")] if backup else []),
        *([(f"/the state/config/{service}", "/etc/opentr")] if configured else []),
    ]


@pytest.mark.parametrize(
    ("service", "writes"),
    [
        ("postgres", {DATA, REPOSITORY}),
        ("backup", {REPOSITORY}),
        ("proof", {"/var/lib/proof"}),
        ("restore", {DATA}),
    ],
)
def test_only_postgres_and_a_restore_write_to_the_data_and_a_proof_to_nothing_that_stays(
    service: str, writes: set[str]
) -> None:
    mounts = [mount for mount in read("prod", service)["volumes"] if mount["type"] == "volume"]
    written = {mount["target"] for mount in mounts if not mount.get("read_only")}
    assert written - {"/run/postgresql"} == writes
    assert [mount["target"] for mount in mounts if not mount.get("source")] == (
        ["/var/lib/proof"] if service == "proof" else []
    )
    assert not any(mount["target"] == "/run/postgresql" for mount in mounts) or service in {"postgres", "backup"}


@pytest.mark.parametrize("service", ["postgres", "backup", "proof", "restore"])
def test_the_backups_passphrase_reaches_those_alone_who_read_the_repository(service: str) -> None:
    given = [secret for secret in read("prod", service)["secrets"] if secret["source"] == "pgbackrest_cipher"]
    assert [secret["target"] for secret in given] == ["/run/secrets/pgbackrest/cipher.conf"]
    readers = {
        name
        for name in services_of("prod")
        if any(secret["source"] == "pgbackrest_cipher" for secret in read("prod", name).get("secrets", []))
    }
    assert readers == {"postgres", "backup", "proof", "restore"}


@pytest.mark.parametrize(("name", "service"), EVERY_SERVICE)
def test_the_source_is_mounted_in_dev_alone(name: str, service: str) -> None:
    mounts = {
        (mount["source"], mount["target"])
        for mount in read(name, service)["volumes"]
        if mount.get("source", "").startswith(str(CHECKOUT))
    }
    source = {(str(CHECKOUT / folder), f"/srv/{folder}") for folder in ("backend", "database")}
    assert mounts == (source if name == "dev" and service in {"api", "worker", "migrate"} else set())


def test_dev_reloads_and_prod_does_not() -> None:
    for service, program in (("api", "uvicorn"), ("worker", "celery")):
        assert read("dev", service)["command"][:3] == ["python", "-m", "app.reload"]
        assert read("prod", service)["command"][0] == program


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_postgres_has_shared_memory_and_the_pool_enough_descriptors(name: str) -> None:
    assert read(name, "postgres")["shm_size"] == variables(name)["OPENTR_POSTGRES_SHM_SIZE"]
    for service in {"pgbouncer", "redis", "proxy"} & set(services_of(name)):
        assert read(name, service)["ulimits"] == {"nofile": 16384}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_variable_that_is_missing_is_refused_with_the_way_to_start(name: str) -> None:
    compose_config(name)
    docker = shutil.which("docker")
    assert docker is not None
    for missing in variables(name):
        said = _config(docker, name, {key: value for key, value in variables(name).items() if key != missing})
        assert said.returncode != 0, f"{missing} may be missing"
        assert "start it with ./opentr.sh" in said.stderr


def seconds(duration: str) -> float:
    """Compose's notation: 1m30s, 500ms."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", duration)
    return sum(float(number) * units[unit] for number, unit in parts)
