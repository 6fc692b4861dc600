from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from opentr.actions.inside import psql_argv
from opentr.actions.services import known, named, profile
from opentr.cli.words import leading_environment, split_environment, take_confirm
from opentr.errors.services import ServiceUnknown
from tests.unit.environments import in_containers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "environment", "rest"),
    [
        ([], "dev", ()),
        (["api"], "dev", ("api",)),
        (["prod"], "prod", ()),
        (["prod", "api", "worker"], "prod", ("api", "worker")),
        (["api", "prod"], "prod", ("api",)),
        (["dev", "prod"], "dev", ("prod",)),
    ],
)
def test_the_environment_stands_first_or_last_and_is_dev_otherwise(
    words: list[str], environment: str, rest: tuple[str, ...]
):
    assert split_environment(words) == (environment, rest)


def test_among_another_programs_words_the_environment_stands_first():
    assert leading_environment(["prod", "-c", "dev"]) == ("prod", ("-c", "dev"))
    assert leading_environment(["-c", "prod"]) == ("dev", ("-c", "prod"))


@pytest.mark.parametrize(
    "words", [["--users", "3", "--confirm", "prod", "--yes"], ["--confirm=prod", "--users", "3", "--yes"]]
)
def test_a_confirmation_is_found_anywhere(words: list[str]):
    assert take_confirm(None, words) == ("prod", ("--users", "3", "--yes"))


def test_services_come_in_the_order_of_their_start():
    assert named("dev", ["worker", "postgres", "worker"]) == ("postgres", "worker")
    assert known("prod") == ("postgres", "pgbouncer", "redis", "api", "worker", "proxy", "backup")


def test_a_profile_is_of_the_services_that_the_runtime_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prod = in_containers(tmp_path, monkeypatch, "prod")
    assert profile(prod, "infra") == ("postgres", "pgbouncer", "redis")
    assert profile(prod, "app") == known("prod")
    assert profile(in_containers(tmp_path, monkeypatch), "app") == known("dev")


@pytest.mark.parametrize(
    ("word", "near"), [("postgre", "postgres"), ("db", "postgres"), ("backend", "api"), ("prdo", "prod"), ("zzz", None)]
)
def test_an_unknown_service_is_said_with_the_nearest(word: str, near: str | None):
    with pytest.raises(ServiceUnknown) as caught:
        named("dev", [word])
    assert caught.value.nearest == near
    assert caught.value.exit_code == 2


def test_the_proxy_is_prods():
    with pytest.raises(ServiceUnknown):
        named("dev", ["proxy"])


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("dev", False, "-c role=app_owner"),
        ("prod", False, "-c role=app_ro -c default_transaction_read_only=on"),
        ("prod", True, "-c role=app_owner"),
    ],
)
def test_psql_acts_as_the_role_that_fits(name: str, options: str, *, write: bool):
    argv = psql_argv(name, ["-c", "SELECT 1"], write=write, typed=True)
    assert argv[:2] == ["env", f"PGOPTIONS={options}"]
    assert argv[-2:] == ["-c", "SELECT 1"]


def test_what_is_typed_into_psql_is_remembered_in_a_folder_of_ones_own():
    assert "HISTFILE=~/.psql_history" in psql_argv("dev", [], write=False, typed=True)
