from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from opentr.containers import Container
from opentr.runtimes.watch import CHECKS, LOOP, Watch, ready, with_needs

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY = Container("1", "p-api-1", "api", "running", "healthy", 0, "image", {}, STARTED, 0, 0, {})
LATER = datetime(2026, 1, 2, tzinfo=UTC)


def test_what_starts_may_take_as_long_as_it_needs():
    watch = Watch([])
    watch.settle([])
    assert watch.failure(replace(HEALTHY, health="starting", failures=1000)) is None


@pytest.mark.parametrize("state", ["created", "restarting", "running"])
def test_nothing_is_wrong_with_what_is_about_to_run(state: str):
    assert Watch([]).failure(replace(HEALTHY, state=state, health=None)) is None


def test_a_new_container_that_has_ended_has_failed():
    failure = Watch([]).failure(replace(HEALTHY, state="exited", health=None, exit_code=3))
    assert failure == "has ended (exit code 3)"


def test_a_new_container_that_is_unhealthy_has_failed():
    assert Watch([]).failure(replace(HEALTHY, health="unhealthy")) == "runs, but its health check fails"


def test_how_a_container_was_before_is_no_failure():
    for before in (replace(HEALTHY, state="exited", health=None), replace(HEALTHY, health="unhealthy", restarts=9)):
        assert Watch([before]).failure(before) is None


def test_a_container_that_was_started_anew_and_ended_again_has_failed():
    before = replace(HEALTHY, state="exited", health=None)
    assert Watch([before]).failure(replace(before, started=LATER)) == "has ended (exit code 0)"


def test_a_container_that_is_restarted_again_and_again_has_failed():
    watch = Watch([replace(HEALTHY, restarts=5)])
    looping = replace(HEALTHY, state="restarting", health=None, exit_code=1)
    assert watch.failure(replace(looping, restarts=5 + LOOP - 1)) is None
    assert watch.failure(replace(looping, restarts=5 + LOOP)) == "ends again and again (exit code 1)"


def test_what_was_unhealthy_gets_time_for_a_check_after_all_is_up():
    """It lacked a service that was down, and hasn't looked since."""
    sick = replace(HEALTHY, health="unhealthy", failures=40)
    watch = Watch([sick])
    watch.settle([sick])
    assert watch.failure(replace(sick, failures=40 + CHECKS - 1)) is None
    assert watch.failure(replace(sick, failures=40 + CHECKS)) == "runs, but its health check fails"


@pytest.mark.parametrize("state", ["exited", "paused", "created"])
def test_what_doesnt_run_after_all_is_up_has_failed(state: str):
    container = replace(HEALTHY, state=state, health=None)
    watch = Watch([container])
    watch.settle([container])
    assert watch.failure(container) is not None


def test_ready_is_running_and_healthy():
    assert ready(HEALTHY)
    assert ready(replace(HEALTHY, health=None))
    assert not ready(replace(HEALTHY, health="starting"))
    assert not ready(replace(HEALTHY, state="exited", health=None))


def test_services_concern_what_they_depend_on():
    needs = "com.docker.compose.depends_on"
    api = replace(HEALTHY, labels={needs: "pgbouncer:service_healthy:false,redis:service_healthy:false"})
    pool = replace(HEALTHY, service="pgbouncer", labels={needs: "postgres:service_healthy:true"})
    worker = replace(HEALTHY, service="worker", labels={needs: ""})
    assert with_needs(["api"], [api, pool, worker]) == {"api", "pgbouncer", "redis", "postgres"}
