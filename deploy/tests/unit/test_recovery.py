"""What the next command does about a deploy that was cut short, by the phase that it had come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from opentr import journal
from opentr.actions import course, deploy, history, recovery, releases, roll
from opentr.errors.services import ServiceUnhealthy
from tests.unit.releasing import Said, opened, release, running

if TYPE_CHECKING:
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.journal import Operation


class Bringing:
    """Stands for containers: which releases were brought up, and which of them don't come up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up: list[str] = []
        self.broken: set[str] = set()
        monkeypatch.setattr(roll, "to", self._to)
        monkeypatch.setattr(roll, "smoke", lambda *_: {})
        monkeypatch.setattr(deploy, "verified", lambda *_: {})

    def _to(self, _: Environment, wanted: releases.Release) -> list[str]:
        self.up.append(wanted.id)
        if wanted.id in self.broken:
            raise ServiceUnhealthy("api", "has ended (exit code 1)", (), "prod")
        return []


@pytest.fixture
def bringing(monkeypatch: pytest.MonkeyPatch) -> Bringing:
    return Bringing(monkeypatch)


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The release `one` serves; `two` has been prepared."""
    environment = opened(tmp_path, monkeypatch)
    releases.store(environment, release("one"))
    releases.make_current(environment, release("one"))
    releases.store(environment, release("two"))
    return running(environment, Said(answer="0011"))


def cut_short(environment: Environment, *phases: str, way: str = "deploy", **more: str) -> Operation:
    """An operation that was killed in the last of these phases."""
    operation = journal.begin(environment.state, course.KIND, way=way, before="one", to="0.2.0", **more)
    for name in phases:
        operation.write(journal.STARTED, name, {})
        if name != phases[-1]:
            operation.write(journal.DONE, name, {"release": "two"} if name == course.PREFLIGHT else {})
    return operation


def ended(environment: Environment) -> dict[str, Any]:
    (operation,) = journal.operations(environment.state)
    assert operation.closed
    return operation.closed.data


@pytest.mark.parametrize("phase", [course.PREFLIGHT, course.ROLES, course.BACKUP, course.PROVE, course.MIGRATE])
def test_before_the_roll_it_is_reverted_and_nothing_is_brought_up(prod: Environment, bringing: Bringing, phase: str):
    cut_short(prod, *course.PHASES[: course.PHASES.index(phase) + 1])
    recovery.finish(prod)
    assert bringing.up == []
    assert ended(prod) | {"outcome": "reverted", "release": "one", "revision": "0011"} == ended(prod)
    now = releases.current(prod)
    assert now
    assert now.id == "one"


@pytest.mark.parametrize("phase", [course.ROLL, course.VERIFY])
def test_from_the_roll_on_it_is_finished(prod: Environment, bringing: Bringing, phase: str):
    cut_short(prod, *course.PHASES[: course.PHASES.index(phase) + 1])
    recovery.finish(prod)
    assert bringing.up == ["two"]
    assert ended(prod) | {"outcome": "done", "release": "two"} == ended(prod)
    now, before = releases.current(prod), releases.previous(prod)
    assert now
    assert before
    assert (now.id, before.id) == ("two", "one")


def test_a_new_release_that_doesnt_come_up_is_taken_back(prod: Environment, bringing: Bringing):
    cut_short(prod, course.PREFLIGHT, course.ROLL)
    bringing.broken = {"two"}
    recovery.finish(prod)
    assert bringing.up == ["two", "one"]
    assert ended(prod) | {"outcome": "reverted", "release": "one"} == ended(prod)


def test_on_the_way_back_it_goes_on_back(prod: Environment, bringing: Bringing):
    cut_short(prod, course.PREFLIGHT, course.ROLL, course.BACK)
    recovery.finish(prod)
    assert bringing.up == ["one"]
    assert ended(prod)["outcome"] == "reverted"


def test_where_neither_comes_up_it_has_failed_and_is_in_no_commands_way(prod: Environment, bringing: Bringing):
    cut_short(prod, course.PREFLIGHT, course.ROLL)
    bringing.broken = {"one", "two"}
    recovery.finish(prod)
    assert bringing.up == ["two", "one"]
    assert ended(prod) | {"outcome": "failed", "release": "one"} == ended(prod)
    recovery.finish(prod)
    assert bringing.up == ["two", "one"]


def test_where_the_way_back_fails_too_it_is_told_and_ends(prod: Environment, bringing: Bringing):
    cut_short(prod, course.PREFLIGHT, course.ROLL, course.BACK)
    bringing.broken = {"one"}
    recovery.finish(prod)
    assert ended(prod) | {"outcome": "failed", "release": "one"} == ended(prod)


def test_a_rollback_is_finished_too(prod: Environment, bringing: Bringing):
    cut_short(prod, course.ROLL, way="rollback", release="two")
    recovery.finish(prod)
    assert bringing.up == ["two"]
    assert ended(prod)["outcome"] == "done"


def test_without_an_operation_that_was_cut_short_nothing_happens(prod: Environment, bringing: Bringing):
    recovery.finish(prod)
    assert bringing.up == []
    assert journal.operations(prod.state) == []


def test_what_was_cut_short_is_described_with_its_phase(prod: Environment):
    operation = cut_short(prod, course.PREFLIGHT, course.BACKUP)
    assert history.described(operation) == "the deploy of 0.2.0 that was cut short during backup"
