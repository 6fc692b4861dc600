from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from opentr import settings
from opentr.errors import ExitCode, OpentrError
from opentr.errors.settings import EnvFileUnreadable, SettingInvalid, SettingUnknown
from opentr.settings import example
from opentr.settings.units import Component, Duration, Size

ALONE = {"OPENTR_ENV_FILE": "none"}


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env.test"


def read(file: Path, text: str, environment: str = "dev", **variables: str) -> settings.Settings:
    """The settings that a file with this text gives."""
    file.write_text(text, encoding="utf-8")
    return settings.read(environment, {"OPENTR_ENV_FILE": str(file)} | variables)


def refusal(file: Path, text: str) -> OpentrError:
    with pytest.raises(OpentrError) as caught:
        read(file, text)
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value


def test_devs_state_is_in_the_checkout_if_nobody_says_otherwise():
    assert settings.read("dev", ALONE).state_dir == settings.CHECKOUT / ".opentr"


def test_prods_state_is_outside_the_checkout():
    place = settings.read("prod", ALONE | {"HOME": "/home/ann"}).state_dir
    mine = Path("/home/ann/.local/state/opentr/opentr-prod")
    assert place == (Path("/var/lib/opentr/opentr-prod") if os.geteuid() == 0 else mine)


def test_a_named_state_folder_has_a_folder_for_each_project():
    given_dir = ALONE | {"OPENTR_STATE_DIR": "/somewhere"}
    assert settings.read("dev", given_dir).state_dir == Path("/somewhere/opentr-dev")
    assert settings.read("prod", given_dir).state_dir == Path("/somewhere/opentr-prod")
    renamed = settings.read("prod", given_dir | {"OPENTR_PROJECT": "tests-1"})
    assert (renamed.project, renamed.state_dir) == ("tests-1", Path("/somewhere/tests-1"))


def test_a_file_gives_a_setting_and_a_variable_wins(env_file: Path):
    text = "# ours\nOPENTR_POSTGRES_MEMORY=2g\nexport OPENTR_API_PORT='8080'\n"
    assert read(env_file, text).postgres.memory == 2 * 1024**3
    assert read(env_file, text).api.port == 8080
    assert read(env_file, text, OPENTR_POSTGRES_MEMORY="512m").postgres.memory == 512 * 1024**2


def test_the_environments_own_file_wins_over_the_shared_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentr.settings.layers.CHECKOUT", tmp_path)
    (tmp_path / ".env").write_text("OPENTR_API_PROCESSES=3\nOPENTR_WORKER_PROCESSES=4\n")
    (tmp_path / ".env.prod").write_text("OPENTR_API_PROCESSES=8\nOPENTR_WORKER_PROCESSES=\n")
    assert settings.read("dev", {}).api.processes == 3
    prod = settings.read("prod", {})
    assert (prod.api.processes, prod.worker.processes) == (8, 4)
    assert settings.given("prod", {})["OPENTR_API_PROCESSES"].place == ".env.prod, line 1"


def test_the_project_cannot_be_named_for_both_environments_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("opentr.settings.layers.CHECKOUT", tmp_path)
    (tmp_path / ".env").write_text("OPENTR_PROJECT=mine\n")
    with pytest.raises(SettingInvalid, match="dev and prod would get the same name"):
        settings.read("dev", {})


def test_values_are_taken_as_they_stand(env_file: Path):
    assert read(env_file, "OPENTR_BUILD_BASE_IMAGE='a${HOME}$b'\n").build.base_image == "a${HOME}$b"


def test_an_unknown_variable_is_refused_with_the_nearest_name():
    with pytest.raises(SettingUnknown) as caught:
        settings.read("dev", {"OPENTR_STAT_DIR": "/somewhere"})
    assert caught.value.what == "no such setting OPENTR_STAT_DIR; did you mean OPENTR_STATE_DIR?"
    assert caught.value.exit_code is ExitCode.USAGE


def test_an_unknown_name_in_a_file_is_refused_with_its_line(env_file: Path):
    text = "# one\n\nOPENTR_API_PORT=1\nOPENTR_POSTGRES_MEMRY=1g\n"
    name = ".env.test, line 4: no such setting OPENTR_POSTGRES_MEMRY; did you mean OPENTR_POSTGRES_MEMORY?"
    assert refusal(env_file, text).what == name
    assert "line 1: no such setting POSTGRES_MEMORY; did" in refusal(env_file, "POSTGRES_MEMORY=1g\n").what
    assert refusal(env_file, "ZZZZ=1\n").what == ".env.test, line 1: no such setting ZZZZ"


def test_variables_of_others_are_left_alone():
    assert settings.read("dev", ALONE | {"HOME": "/root", "POSTGRES_MEMORY": "x"}) == settings.read("dev", ALONE)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("OPENTR_API_PORT=1\nwhat is this\n", "line 2: this is not NAME=value"),
        ("OPENTR_API_PORT\n", "line 1: this is not NAME=value"),
        ("OPENTR_API_PORT='1\n", "line 1: this is not NAME=value"),
        (
            "OPENTR_API_PORT=1\nOPENTR_API_PORT=2\n",
            "line 2: OPENTR_API_PORT is set a second time, first in .env.test, line 1",
        ),
        ("OPENTR_ENV_FILE=other\n", "line 1: the setting OPENTR_ENV_FILE can't be used: a file can't name"),
    ],
)
def test_a_broken_file_is_told_with_its_line(env_file: Path, text: str, reason: str):
    assert reason in refusal(env_file, text).what


def test_a_file_that_is_no_text_is_told(env_file: Path):
    env_file.write_bytes(b"OPENTR_API_PORT=1\n\xff\n")
    with pytest.raises(EnvFileUnreadable, match=r"\.env\.test, line 2: this is not UTF-8 text"):
        settings.read("dev", {"OPENTR_ENV_FILE": str(env_file)})


def test_a_folder_in_the_files_place_is_told(env_file: Path):
    env_file.mkdir()
    with pytest.raises(EnvFileUnreadable, match="it can't be read: Is a directory"):
        settings.read("dev", {"OPENTR_ENV_FILE": str(env_file)})


def test_a_file_that_is_named_must_be_there():
    with pytest.raises(SettingInvalid, match="OPENTR_ENV_FILE"):
        settings.read("dev", {"OPENTR_ENV_FILE": "/not/there"})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("OPENTR_API_PORT", "70000", "'70000' should be 65535 or less"),
        ("OPENTR_API_PORT", "http", "'http' should be a valid integer"),
        ("OPENTR_POSTGRES_MEMORY", "2x", "'2x' is not a size; write it as 512m or 2g"),
        ("OPENTR_POSTGRES_MEMORY", "1m", "'1m' should be 256m or more"),
        ("OPENTR_POSTGRES_CPUS", "NaN", "'NaN' is not a number of processors; write it as 2 or 0.5"),
        ("OPENTR_POSTGRES_CPUS", "0", "'0' should be 0.01 or more"),
        ("OPENTR_PROXY_BIND", "here", "'here' is not an address; write it as 127.0.0.1 or 0.0.0.0"),
        ("OPENTR_APP_LOG_LEVEL", "loud", "'LOUD' should be 'DEBUG', 'INFO'"),
        ("OPENTR_ADMIN_EMAIL", "ann", "'ann' is not an email address"),
        ("OPENTR_STATE_DIR", "here", "is not an absolute path"),
        ("OPENTR_PROJECT", "A b", "'A b' has other characters than"),
        ("OPENTR_BUILD_CA_BUNDLE", "/not/there", "/not/there is not the absolute path of a file"),
        ("OPENTR_BUILD_BASE_IMAGE", "a\nb", "it has characters that can't be printed"),
    ],
)
def test_a_value_that_cannot_be_used_says_what_is_allowed(name: str, value: str, reason: str):
    with pytest.raises(SettingInvalid) as caught:
        settings.read("dev", ALONE | {name: value})
    assert caught.value.what.startswith(f"the setting {name} can't be used: ")
    assert reason in caught.value.what


def test_a_value_of_a_file_that_cannot_be_used_is_told_with_its_line(env_file: Path):
    text = "OPENTR_API_PORT=1\nOPENTR_POSTGRES_MEMORY=lots\n"
    assert refusal(env_file, text).what.startswith(
        ".env.test, line 2: the setting OPENTR_POSTGRES_MEMORY can't be used"
    )


def test_the_usual_variables_are_defaults(tmp_path: Path):
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    usual = ALONE | {"SSL_CERT_FILE": str(bundle), "DOCKER_HOST": "unix:///run/other.sock"}
    chosen = settings.read("dev", usual)
    assert (chosen.build.ca_bundle, chosen.engine.host) == (bundle, "unix:///run/other.sock")
    assert settings.given("dev", usual)["OPENTR_ENGINE_HOST"].place == "DOCKER_HOST"
    assert settings.read("dev", usual | {"OPENTR_ENGINE_HOST": "tcp://x"}).engine.host == "tcp://x"


def test_services_may_use_all_processors_of_the_machine():
    assert settings.read("dev", ALONE).worker.cpus == Decimal(os.cpu_count() or 1)


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        settings.read("dev", ALONE).state_dir = Path("/elsewhere")  # type: ignore[misc]


def test_an_empty_value_counts_as_unset(env_file: Path):
    nothing = read(env_file, "OPENTR_API_PORT=\nOPENTR_PROJECT=  \n", OPENTR_WORKER_MEMORY="")
    assert (nothing.api, nothing.project, nothing.worker) == (
        settings.read("dev", ALONE).api,
        "opentr-dev",
        settings.read("dev", ALONE).worker,
    )


@given(st.integers(min_value=0, max_value=2**62))
def test_a_size_is_read_back_from_its_text(size: int):
    assert Size.parse(str(Size(size))) == size


def test_the_example_is_the_tree():
    written = (settings.CHECKOUT / ".env.example").read_text()
    assert written == example.text(), "write it anew: .venv/bin/python -m opentr.settings.example > .env.example"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_example_with_all_lines_in_force_is_the_defaults(env_file: Path, environment: str):
    lines = (settings.CHECKOUT / ".env.example").read_text().splitlines()
    active = [line.removeprefix("#") for line in lines if line.startswith("#OPENTR_")]
    assert {line.partition("=")[0] for line in active} == set(settings.KEYS)
    chosen = read(env_file, "\n".join(active), environment)
    assert chosen.model_copy(update={"env_file": "none"}) == settings.read(environment, ALONE)


def test_every_setting_is_explained():
    components = [
        settings.Settings,
        *(type(value) for _, value in settings.read("dev", ALONE) if isinstance(value, Component)),
    ]
    bare = [name for kind in components for name, field in kind.model_fields.items() if not field.description]
    inner = {name for name, value in settings.read("dev", ALONE) if isinstance(value, Component)}
    assert set(bare) == inner | {"environment"}


@given(st.integers(min_value=1, max_value=3650), st.sampled_from("dhms"))
def test_a_time_is_read_back_as_it_is_shown(number: int, unit: str):
    value = Duration.parse(f"{number}{unit}")
    assert Duration.parse(str(value)) == value


@pytest.mark.parametrize("text", ["0", "none", "None"])
def test_none_is_never(text: str):
    chosen = settings.read("prod", ALONE | {"OPENTR_BACKUP_INCR_EVERY": text})
    assert chosen.backup.incr_every == 0
    assert str(chosen.backup.incr_every) == "none"


@pytest.mark.parametrize("text", ["7", "1w", "-1h", "1.5h", "9999d"])
def test_a_time_without_a_unit_or_beyond_ten_years_is_refused(text: str):
    with pytest.raises(SettingInvalid, match="OPENTR_BACKUP_FULL_EVERY"):
        settings.read("prod", ALONE | {"OPENTR_BACKUP_FULL_EVERY": text})
