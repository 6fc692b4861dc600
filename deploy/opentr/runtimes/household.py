"""What the embedded runtime puts into its folders before services start, and what there is to be removed."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import process
from opentr.runtimes import layout as folders
from opentr.runtimes.base import Thing, Things
from opentr.runtimes.programs import PORTS, ROLES
from opentr.settings import CHECKOUT
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from opentr.runtimes.layout import Layout
    from opentr.runtimes.programs import Program
    from opentr.settings import Settings
    from opentr.state import State

PORTS_RECORD = "ports"
"""The state's record of the ports that the services have."""
_TRIES = 100
_RANGE = range(20_000, 32_768)  # below those that Linux gives to clients (ip_local_port_range)


def last_ports(state: State) -> dict[str, int]:
    """The port with which each service was started last."""
    found: dict[str, int] = (state.read(PORTS_RECORD) or {}).get("ports", {})
    return found


def keep_port(state: State, service: str, port: int) -> None:
    """Write down with which port a service is started."""
    state.write(PORTS_RECORD, {"ports": last_ports(state) | {service: port}})


def next_ports(settings: Settings, state: State, running: Collection[str]) -> dict[str, int]:
    """The port with which each service is to be started: what is set; else what it has or had, if that is free.

    Else the usual one, else one that goes by the state's id, whichever is free first. One that is set and taken is
    given all the same: the start refuses it.
    """
    last, chosen = last_ports(state), dict[str, int]()
    for service in PORTS:
        component = getattr(settings, service)
        if component.port and "port" in component.model_fields_set:
            chosen[service] = component.port
        elif service in running and service in last:
            chosen[service] = last[service]
        else:
            others = random.Random(f"{state.id} {service}").sample(_RANGE, _TRIES)  # noqa: S311 - no secret
            wished = (last.get(service, 0), component.port, *others)
            chosen[service] = next(port for port in wished if port not in {0, *chosen.values()} and is_free(port))
    return chosen


def is_free(port: int) -> bool:
    """Whether nobody listens there at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def furnish(layout: Layout, state: State, chosen: Mapping[str, int]) -> None:
    """Give Postgres's user copies of what it reads, and `redis-cli` its port."""
    folders.copy_programs(layout)
    own = layout.postgres
    _copy(layout, sorted((state.folder / "config/postgres").glob("*")), own / "config")
    _copy(layout, [state.folder / "secrets" / f"{role}_password" for role in ROLES], own / "secrets")
    _copy(layout, [CHECKOUT / "images/postgres/entrypoint.sh", CHECKOUT / "database/roles.sql"], own)
    commands = layout.run / "bin"
    commands.mkdir(mode=0o700, exist_ok=True)
    client = folders.redis_programs() / "redis-cli"
    wrapper = commands / "redis-cli"
    wrapper.write_text(f"#!/bin/sh\nexec '{_in_quotes(client)}' -p {chosen['redis']} \"$@\"\n", encoding="utf-8")
    wrapper.chmod(0o700)


def write_specification(layout: Layout, service: str, program: Program, *, asked: str, version: str) -> None:
    """What `launch` reads; `asked` is another word each time that somebody starts the service."""
    found = asdict(program) | {"digest": program.digest, "version": version, "asked": asked}
    found |= {"log": str(layout.logs / service)}
    (layout.run / f"{service}.json").unlink(missing_ok=True)  # of the run before
    place = layout.run / f"{service}.spec.json"
    new = place.with_suffix(".new")
    new.write_text(json.dumps(found), encoding="utf-8")
    new.rename(place)


def record(layout: Layout, service: str) -> dict[str, Any] | None:
    """What the service has written down of itself when it was started last; None if it never was."""
    try:
        found: dict[str, Any] = json.loads((layout.run / f"{service}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def launch_log(layout: Layout, service: str) -> list[str]:
    """What was said before the service's own log was there."""
    place = layout.run / f"{service}.launch.log"
    return place.read_text(encoding="utf-8", errors="replace").splitlines() if place.exists() else []


def version() -> str:
    """The checkout's."""
    return (CHECKOUT / "VERSION").read_text(encoding="utf-8").strip()


def forget(layout: Layout) -> None:
    """Remove what isn't data."""
    for folder in (layout.run, layout.logs, layout.home / "programs"):
        shutil.rmtree(folder, ignore_errors=True)


def data(layout: Layout, *, sizes: bool) -> list[Thing]:
    """The folders with data."""
    there = [name for name in folders.VOLUMES if layout.data(name).exists()]
    return [_folder(layout, name, sizes=sizes) for name in there]


def things(  # noqa: PLR0913 - each is a part of what there is
    layout: Layout,
    running: Sequence[str],
    stop: Callable[[Sequence[str]], None],
    forget_all: Callable[[], None],
    orphans: Sequence[int],
    *,
    sizes: bool,
) -> Things:
    """See Runtime.things."""
    services = [
        Thing(name, f"stop the process {name}", f"supervisorctl stop {name}", partial(stop, [name]))
        for name in reversed(running)
    ]
    if layout.run.exists() or layout.logs.exists():
        what = "remove the processes' sockets and logs"
        services.append(Thing("logs", what, f"rm -r {layout.run} {layout.logs}", forget_all))
    left = [
        Thing(
            str(pid), f"end the process {pid} of a command that was killed", f"kill {pid}", partial(process.end, pid, 0)
        )
        for pid in orphans
    ]
    return Things(services=tuple(services), data=tuple(data(layout, sizes=sizes)), leftovers=tuple(left))


def _folder(layout: Layout, name: str, *, sizes: bool) -> Thing:
    place = layout.data(name)
    label = f"{name} ({size(_bytes(place))})" if sizes else name

    def remove() -> None:
        shutil.rmtree(place)
        if name == "postgres-data":
            shutil.rmtree(layout.postgres, ignore_errors=True)
        for empty in (layout.home / "data", layout.home):
            with suppress(OSError):
                empty.rmdir()

    return Thing(label, f"remove the folder {label}", f"rm -r {place}", remove)


def _bytes(place: Path) -> int:
    found = 0
    for each in place.rglob("*"):
        with suppress(OSError):
            found += each.lstat().st_size
    return found


def _copy(layout: Layout, files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    for each in files:
        there = folder / each.name
        if not there.exists() or there.read_bytes() != each.read_bytes():
            new = there.with_name(f".{each.name}.new")
            new.unlink(missing_ok=True)
            shutil.copyfile(each, new)
            new.chmod(0o600)
            new.rename(there)
        if layout.account:
            os.chown(there, layout.account.uid, layout.account.gid)
    if layout.account:
        os.chown(folder, layout.account.uid, layout.account.gid)


def _in_quotes(place: Path) -> str:
    return str(place).replace("'", "'\\''")
