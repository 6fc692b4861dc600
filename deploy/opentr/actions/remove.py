"""`clean`, `remove` and `purge`: what they find is told first, and only what is this state's is touched."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from opentr.actions import database, releases
from opentr.actions import environment as environments
from opentr.actions.steps import Step
from opentr.runtimes import choose
from opentr.server import generations, psql
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Thing

BUILD_LOGS = "build-*.log"


def data_words(environment: Environment) -> list[str]:
    """What the data is in, each with its size."""
    return [each.label for each in environment.runtime.things().data]


def remove_steps(environment: Environment) -> list[Step]:
    """Containers and networks, or processes; data, images and secrets stay. No steps: there are none."""
    return _steps(environment.runtime.things(sizes=False).services)


def data_steps(environment: Environment) -> list[Step]:
    """The same, and all data; images and secrets stay."""
    found = environment.runtime.things()
    return [*_steps(found.services), *_steps(found.data), _forget_step(environment)]


def purge_steps(environment: Environment) -> list[Step]:
    """Everything: what runs, data, images, and the state with its secrets and backups."""
    found = environment.runtime.things()
    folder = environment.state.folder
    what = f"remove the state: secrets, configuration, logs{_backup_words(folder)} ({size(_folder_bytes(folder))})"
    state = Step(what, f"rm -r {folder}", partial(_remove_folder, folder))
    return [*_steps(found.services), *_steps(found.data), *_steps(found.builds), state]


def clean_steps(environment: Environment) -> list[Step]:
    """What nothing needs any more: images that no container uses and the code doesn't give, leftovers, build logs."""
    found = environment.runtime.things(kept=_prepared(environment), sizes=False)
    steps = [*_steps(found.leftovers), *_steps(found.unused)]
    logs = sorted(environment.state.folder.glob(BUILD_LOGS))
    if logs:
        total = size(sum(log.stat().st_size for log in logs))
        steps.append(Step(f"remove {len(logs)} logs of builds ({total})", _rm(logs), lambda: _unlink(logs)))
    return steps + _template_steps(environment)


def _steps(things: Iterable[Thing]) -> list[Step]:
    return [Step(each.what, each.how, each.remove) for each in things]


def _prepared(environment: Environment) -> list[str]:
    """The images that the next start takes, and those of the release that serves and of the one before."""
    prepared = environments.prepared_images(environment).values()
    return [*prepared, *releases.kept_images(environment.state)]


def _remove_folder(folder: Path) -> None:
    """Remove the folder; where a link stands in its place, what that leads to, and the link."""
    shutil.rmtree(folder.resolve())
    if folder.is_symlink():
        folder.unlink()


def _forget_step(environment: Environment) -> Step:
    """Without it the next start would take the data for vanished, and another runtime would be refused."""

    def forget() -> None:
        for record in (database.RECORD, generations.RECORD, choose.RECORD):
            environment.state.remove(record)

    return Step("forget that there was a database", f"rm {environment.state.folder}/{database.RECORD}.json", forget)


def _template_steps(environment: Environment) -> list[Step]:
    """The templates that the next reset wouldn't take, and what a killed reset left; known only while Postgres runs."""
    running = {each.service for each in environment.runtime.services() if each.healthy}
    if "postgres" not in running:
        return []
    there = generations.databases(environment.runtime)
    wanted = {database.template_name(environment, source) for source in database.TITLES}
    old = [name for name in database.templates(there) if name not in wanted]
    return [_drop_step(environment, name, there[name].size_bytes) for name in old]


def _drop_step(environment: Environment, name: str, size_bytes: int) -> Step:
    sql = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    what = f"drop the old template {name} ({size(size_bytes)})"
    return Step(what, sql, lambda: psql.execute(environment.runtime, sql, psql.MAINTENANCE))


def _backup_words(folder: Path) -> str:
    dumps = [each for each in folder.glob("backups/*.dump") if each.is_file()]
    if not dumps:
        return "; there are no dumps in it"
    return f", and {len(dumps)} dumps of the database ({size(sum(each.stat().st_size for each in dumps))})"


def _folder_bytes(folder: Path) -> int:
    found = 0
    for each in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a server may be at work in it
            found += each.lstat().st_size if each.is_file() else 0
    return found


def _rm(files: list[Path]) -> str:
    return f"rm {' '.join(str(each) for each in files)}"


def _unlink(files: list[Path]) -> None:
    for each in files:
        each.unlink(missing_ok=True)
