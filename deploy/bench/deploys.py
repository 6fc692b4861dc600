"""Deploys: seconds by phase, and what users notice of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Clock
from tests.e2e.deploying import journal, seconds_by_step
from tests.e2e.writers import faults, visiting, writing

if TYPE_CHECKING:
    from bench.stackplace import ProdPlace
    from tests.e2e.writers import Load, Visits

NOTHING, ONE = "nothing pending", "one revision"


def measure(place: ProdPlace) -> None:
    """Both under a light load of writers and visitors, whose failures are counted."""
    rows: dict[str, dict[str, float]] = {}
    users = []
    for name in (NOTHING, ONE):
        if name == ONE:
            place.tree.add_revision("Colours of tags", "ALTER TABLE tag ADD COLUMN colour varchar(20)")
        clock = Clock()
        with visiting(place.stack) as visits, writing(place.stack) as load:
            with clock.time(name):
                place.stack.done("deploy", "prod")
            load.wait_for_more()
        rows[name] = seconds_by_step(journal(place.stack)[-1]) | {"all of it": clock.total(name)}
        users.append(_noticed(name, visits, load, lost=len(faults(place.stack, load))))
    phases = list(dict.fromkeys(phase for seconds in rows.values() for phase in seconds))
    place.add(
        "./opentr.sh deploy prod, seconds by phase",
        ("phase", *rows),
        [[phase, *(seconds.get(phase, 0.0) for seconds in rows.values())] for phase in phases],
    )
    columns = ("deploy", "requests", "failed", "longest gap, s", "writes", "tried again", "longest gap, s ", "lost")
    place.add("Visitors through the proxy and writers through the pool meanwhile", columns, users)


def _noticed(name: str, visits: Visits, load: Load, *, lost: int) -> list[object]:
    failed = len(visits.failures)
    asked = sum(visits.good.values()) + failed
    writes = [len(load.acknowledged), len(load.failures), load.longest_seconds, lost]
    return [name, asked, failed, visits.longest_seconds, *writes]
