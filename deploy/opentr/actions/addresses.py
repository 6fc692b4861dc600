"""Where an environment is reached, as told after start and reset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr import credentials

if TYPE_CHECKING:
    from opentr.actions.environment import Environment

_WIDTH = 10
_API = {"dev": ("api", 8000), "prod": ("proxy", 8080)}
"""The service, and its port, through which the API is reached."""


def api(environment: Environment) -> str | None:
    """host:port of the environment's API, as reached from this machine; None if it doesn't run."""
    return environment.runtime.address(*_API[environment.name])


def data(environment: Environment) -> dict[str, str]:
    """The ways in that are open now, by name, and who the administrator is."""
    ways = {
        "api": ("http://{}", *_API["dev"]),
        "database": ("postgresql://app_rw@{}/opentranscribe", "pgbouncer", 6432),
        "database_direct": ("postgresql://app_migrator@{}/opentranscribe", "postgres", 5432),
        "redis": ("redis://app@{}/0", "redis", 6379),
    }
    if environment.name == "prod":
        ways = {"api": ("http://{}", *_API["prod"])}
    found = {name: (form, environment.runtime.address(service, port)) for name, (form, service, port) in ways.items()}
    reached = {name: form.format(address) for name, (form, address) in found.items() if address}
    return reached | {"admin": environment.settings.admin.email, "secrets": str(environment.state.folder / "secrets")}


def lines(environment: Environment, *, password: bool = False) -> list[str]:
    """The same as lines to be read; with `password` the administrator's is shown, else where it is kept."""
    found = data(environment)
    secrets = found["secrets"]
    admin = (
        credentials.ensure(environment.state)["admin_password"].reveal() if password else f"in {secrets}/admin_password"
    )
    pooled = found.get("database")
    told = {
        "API": found.get("api"),
        "database": pooled and f"{pooled} (through the pool)",
        "" if pooled else "database": found.get("database_direct") and f"{found['database_direct']} (direct)",
        "redis": found.get("redis"),
        "admin": f"{found['admin']}, password {admin}",
        "passwords": f"in {secrets}",
    }
    return [f"{title:{_WIDTH}} {text}" for title, text in told.items() if text]
