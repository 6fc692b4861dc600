"""What a restart must not lose, and rendered configuration that the services themselves accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stacks import Stack


@pytest.fixture(scope="module")
def infra(stacks: Callable[..., Stack]) -> Stack:
    """Postgres, the pool and Redis, as for those who run the app from their editor."""
    made = stacks()
    made.done("start", "dev", "--profile", "infra")
    return made


def redis(stack: Stack, *commands: str) -> list[str]:
    """What Redis answers to the user `app`, a line each."""
    password = (stack.state / "secrets" / "redis_password").read_text(encoding="utf-8").strip()
    said = stack("exec", "redis", "--", "redis-cli", stdin="\n".join([f"AUTH app {password}", *commands, ""]))
    assert said.returncode == 0, said
    return said.stdout.split()


def test_what_redis_took_in_a_transaction_is_there_after_a_restart(infra: Stack) -> None:
    """Celery queues and acknowledges in transactions. Several writes each: a single one is kept without its MULTI."""
    answers = redis(
        infra,
        "MULTI",
        "LPUSH queue one",
        "LPUSH queue two",
        "EXEC",
        "SELECT 1",
        "SET kept yes",
        "MULTI",
        "SWAPDB 0 1",
        "EXEC",
    )
    assert "2" in answers
    infra.done("restart", "redis")
    assert redis(infra, "GET kept", "SELECT 1", "LLEN queue") == ["OK", "yes", "OK", "2"]


def test_nobody_is_redis_default_user(infra: Stack) -> None:
    said = infra("exec", "redis", "--", "redis-cli", "PING")
    assert "NOAUTH" in said.stdout + said.stderr


def test_the_cluster_has_checksums_and_a_collation_that_no_library_changes(infra: Stack) -> None:
    asked = (
        "SELECT current_setting('data_checksums'), datlocprovider, datlocale, pg_encoding_to_char(encoding)"
        " FROM pg_database WHERE datname = 'opentranscribe'"
    )
    assert infra.done("psql", "--", "-At", "-c", asked).strip() == "on|b|C.UTF-8|UTF8"
