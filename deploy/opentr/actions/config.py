"""What the settings of an environment are, what follows from them, and whether that can work here."""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import credentials, render, settings, sizing, state
from opentr.actions import environment as environments
from opentr.actions import start
from opentr.errors.engine import EngineMissing
from opentr.places import Places
from opentr.runtimes import choose
from opentr.settings.units import cores

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from opentr.actions.environment import Environment
    from opentr.settings import Settings

NEARLY = 0.9
"""Of the machine's memory: limits together beyond this are told."""
_EMBEDDED = "embedded"


@dataclass(frozen=True)
class Value:
    """A setting that is in force."""

    name: str
    value: str | None
    """None: nothing, or it is computed"""
    origin: str
    """default, `.env, line 7`, or the variable of the environment"""


@dataclass(frozen=True)
class Rendered:
    """What a service reads, and how it came about."""

    explanation: list[str]
    files: dict[str, str]
    """text by path below the state's folder"""


@dataclass(frozen=True)
class Finding:
    """What a check has found."""

    blocks: bool
    """it can't work like this; otherwise it is only to be known"""
    what: str
    hint: str


def values(environment: str) -> list[Value]:
    """Every setting of dev or prod, its value and where that comes from."""
    chosen, given = settings.read(environment), settings.given(environment)
    found = []
    for name, path in settings.KEYS.items():
        value: object = chosen
        for part in path:
            value = getattr(value, part)
        origin = (given[name].place or "environment") if name in given else "default"
        found.append(Value(name, None if value in (None, "") else str(value), origin))
    return found


def rendered(service: str, environment: str) -> Rendered:
    """The files of one service, as the settings are now, and the arithmetic of the pool."""
    chosen = settings.read(environment)
    texts = render.configuration(chosen, places=_places(chosen))
    files = {name: text for name, text in texts.items() if Path(name).parts[1] == service}
    return Rendered(sizing.explain(chosen) if service == "pgbouncer" else [], files)


def _places(chosen: Settings) -> Places:
    """Where the services' files are: in containers, unless the data is known to be kept by local processes."""
    if (chosen.state_dir / "id").exists():
        place = state.opened(chosen)
        if (place.read(choose.RECORD) or {}).get("name") == _EMBEDDED:
            return choose.choose(chosen, place).places
    return Places()


def folder(environment: str) -> Path:
    """Where the state of dev or prod is; it need not be there yet."""
    return settings.read(environment).state_dir


def check(environment: str, command: str) -> list[Finding]:
    """What can't work on this machine, and what isn't in use yet; blockers first. Raises for wrong settings."""
    chosen = settings.read(environment)
    render.configuration(chosen)
    found = [*_machine(chosen), *_ports(chosen), *renamed(chosen)]
    if (chosen.state_dir / "id").exists():
        credentials.ensure(state.opened(chosen))
        found += _in_use(environment, command, chosen)
    else:
        found += _taken(chosen, set(), render.SERVICES)
    return sorted(found, key=lambda one: not one.blocks)


def blocking(chosen: Settings) -> list[Finding]:
    """What can't work on this machine, of these settings. Raises SettingInvalid if sizes don't fit."""
    render.configuration(chosen)
    return [each for each in (*_machine(chosen), *_ports(chosen)) if each.blocks]


def _machine(chosen: Settings) -> Iterator[Finding]:
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    services = [name for name in render.SERVICES if name != "proxy" or chosen.environment == "prod"]
    limits = {name: getattr(chosen, name) for name in services}
    for name, limit in limits.items():
        if limit.memory > there:
            yield _too_much(name, "MEMORY", str(limit.memory), f"this machine's {_short(there)}")
        if limit.cpus > cores():
            yield _too_much(name, "CPUS", str(limit.cpus), f"this machine's {cores()}")
    together = sum(limit.memory for limit in limits.values())
    if together > there * NEARLY:
        what = f"together the services may take {_short(together)} of memory, and this machine has {_short(there)}"
        yield Finding(blocks=False, what=what, hint="lower OPENTR_WORKER_MEMORY or another service's")
    if chosen.postgres.shm_size > chosen.postgres.memory:
        yield _too_much("postgres", "SHM_SIZE", str(chosen.postgres.shm_size), f"its memory, {chosen.postgres.memory}")


def _too_much(service: str, field: str, value: str, limit: str) -> Finding:
    key = f"OPENTR_{service}_{field}".upper()
    return Finding(blocks=True, what=f"{key}={value} is more than {limit}", hint=f"lower {key}")


def _short(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"


def published(chosen: Settings) -> dict[str, tuple[str, int]]:
    """The addresses at which services are to be reached from outside: (host, port) by setting."""
    if chosen.environment == "prod":
        return {"OPENTR_PROXY_PORT": (str(chosen.proxy.bind), chosen.proxy.port)}
    names = ("postgres", "pgbouncer", "redis", "api")
    return {f"OPENTR_{name}_PORT".upper(): ("127.0.0.1", getattr(chosen, name).port) for name in names}


def _ports(chosen: Settings) -> Iterator[Finding]:
    wanted = {key: port for key, (_, port) in published(chosen).items() if port}
    for port, times in Counter(wanted.values()).items():
        if times > 1:
            keys = " and ".join(key for key, one in wanted.items() if one == port)
            yield Finding(blocks=True, what=f"{keys} are both {port}", hint="give one of them another port, or 0")


def renamed(chosen: Settings) -> Iterator[Finding]:
    """Another environment of this kind has its state beside this one's, which was never started."""
    if chosen.environment == "dev" or (chosen.state_dir / "id").exists():
        return
    for file in sorted(chosen.state_dir.parent.glob("*/project")):
        project, _, kind = file.read_text(encoding="utf-8").strip().partition(" ")
        if kind == chosen.environment:
            what = f"{chosen.project} was never started here, but {project} was: it has a database of its own"
            yield Finding(blocks=False, what=what, hint=f"if you mean that one: OPENTR_PROJECT={project}")


def _in_use(environment: str, command: str, chosen: Settings) -> Iterator[Finding]:
    """What differs between settings and services that were started, and ports that others hold."""
    try:
        with environments.opened(environment, command=command, changes=False) as opened:
            yield from _differences(opened)
            running = {each.service for each in opened.runtime.services() if each.state == "running"}
            kept_free = _published_by(opened)
    except EngineMissing as error:
        yield Finding(blocks=True, what=error.what, hint=error.hint)
        return
    yield from _taken(chosen, running, kept_free)


def _published_by(opened: Environment) -> set[str]:
    """The services whose ports must be free: local processes take another one where none was asked for."""
    there = set(opened.runtime.defined)
    if opened.runtime.name != _EMBEDDED:
        return there
    return {name for name in there if "port" in getattr(opened.settings, name).model_fields_set}


def _taken(chosen: Settings, running: set[str], concerned: Collection[str]) -> Iterator[Finding]:
    for key, (host, port) in published(chosen).items():
        service = key.split("_")[1].lower()
        if port and service in concerned and service not in running and not _free(host, port):
            what = f"the port {port}, at which {service} is to be reached, is taken by another program"
            yield Finding(blocks=True, what=what, hint=f"end that one, or set another: {key}={port + 1}")


def _differences(opened: Environment) -> Iterator[Finding]:
    hint = f"take it on: ./opentr.sh config apply {opened.name}"
    if names := start.differing(opened) if environments.is_prepared(opened) else []:
        yield Finding(blocks=False, what=f"changed, and not in use yet: {', '.join(names)}", hint=hint)
    secrets = credentials.ensure(opened.state)
    roles = credentials.changed_roles(opened.state, secrets)
    if roles and opened.state.read("applied"):
        what = f"changed, and not in use yet: the passwords of {', '.join(roles)}"
        yield Finding(blocks=False, what=what, hint=hint)
    made = opened.state.read("database") or {}
    email = made.get("admin_email")
    if email and email != opened.settings.admin.email:
        what = f"OPENTR_ADMIN_EMAIL is used when a database is made; the administrator of this one is {email}"
        yield Finding(blocks=False, what=what, hint=f"set OPENTR_ADMIN_EMAIL={email}, or change the user in the app")


def _free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError:
            return False
    return True
