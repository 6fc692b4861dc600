"""What services read, from settings and secrets: {path below the state's folder: text}. Pure: writes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from opentr import sizing
from opentr.credentials import CIPHER, PASSPHRASE, S3_KEY, cipher, digest
from opentr.places import Places
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentr.credentials import Credentials
    from opentr.settings import Settings
    from opentr.state import State

IPV6 = 6
TEMPLATES = Path(__file__).parent / "templates"
CONTAINERS = Places()
SERVICES = ("postgres", "pgbouncer", "redis", "api", "worker", "proxy", "backup")
_SECRETS = {
    "postgres": (),  # the roles' passwords are given to it by SQL
    "pgbouncer": ("pgb_auth_password", "app_monitor_password"),
    "redis": ("redis_password",),
    "api": ("app_rw_password", "redis_password", "jwt_secret", *S3_KEY),
    "worker": ("app_rw_password", "redis_password", *S3_KEY),
    "proxy": (),
    "backup": (PASSPHRASE,),
}
"""The secrets that a service reads when it starts: it is made anew when one of them changes."""
RELEASE = "config/backup/release.json"
"""What code and images run: each backup is annotated with it."""
_ONLY_PROD = frozenset({"proxy", "backup"})


def configuration(settings: Settings, templates: Path = TEMPLATES, *, places: Places = CONTAINERS) -> dict[str, str]:
    """The configuration of each service of this environment, by the templates in this folder.

    Raises SettingInvalid if sizes don't fit.
    """
    known = {
        "settings": settings,
        "sizing": sizing,
        "pool": sizing.pool(settings),
        "memory": sizing.memory(settings.postgres),
        "cores": sizing.cores(settings),
        "places": places,
    }
    names = [
        name for name in _templates(templates) if settings.environment == "prod" or _service(name) not in _ONLY_PROD
    ]
    return {name: _environment(templates).get_template(f"{name}.j2").render(known) for name in names}


def files(
    settings: Settings,
    credentials: Credentials,
    templates: Path = TEMPLATES,
    *,
    images: Mapping[str, str] | None = None,
    places: Places = CONTAINERS,
) -> dict[str, str]:
    """The configuration, and the secrets that are made from others.

    Backups are annotated with `images` (references by name), and with the version of the tree that has the templates.
    """
    derived = {
        "secrets/pgbouncer_userlist": _userlist(credentials),
        "secrets/redis_users": _redis_users(credentials),
    }
    if settings.environment == "prod":
        version = (templates.parents[2] / "VERSION").read_text(encoding="utf-8").strip()
        release = {"version": version, "images": dict(images or {})}
        derived[RELEASE] = json.dumps(release, indent=1, sort_keys=True) + "\n"
        derived[f"secrets/{CIPHER}"] = cipher(credentials)
    return configuration(settings, templates, places=places) | derived


def compose_variables(
    settings: Settings, state: State, files: Mapping[str, str], credentials: Credentials, images: Mapping[str, str]
) -> dict[str, str]:
    """The variables of the Compose file; `images` are references by service. None of them is secret."""
    values: dict[str, object] = {
        "PROJECT": settings.project,
        "STATE": str(state.folder),
        "STATE_ID": state.id,
        "CHECKOUT": str(CHECKOUT),
        "POSTGRES_SHM_SIZE": int(settings.postgres.shm_size),
        "PROXY_BIND": _host(settings),
        "API_PROCESSES": settings.api.processes,
        "WORKER_PROCESSES": settings.worker.processes,
        "WORKER_MODEL": settings.worker.model,
        "WORKER_DEVICE": settings.worker.device,
        "WORKER_COMPUTE_TYPE": settings.worker.compute_type,
        "WORKER_LONGEST": int(settings.worker.longest),
        "WORKER_THREADS": sizing.worker_threads(settings),
        "API_ALLOWED_HOSTS": settings.api.allowed_hosts,
        "API_CORS_ORIGINS": settings.api.cors_origins,
        "API_TOKEN_MINUTES": settings.api.token_minutes,
        "MEDIA_UPLOAD_LIMIT": int(settings.media.upload_limit),
        "MEDIA_URL": settings.media.url,
        "MEDIA_S3_ENDPOINT": settings.media.s3_endpoint,
        "MEDIA_S3_REGION": settings.media.s3_region,
        "LOG_LEVEL": settings.app.log_level,
        "ADMIN_EMAIL": settings.admin.email,
    }
    for service in SERVICES:
        values |= _of_service(service, settings)
        values[f"{service}_CONFIG"] = config_digest(service, state, files, credentials)
        values[f"image_{service}"] = images.get(service, "")
    return {f"OPENTR_{name}".upper(): str(value) for name, value in sorted(values.items())}


def config_digest(service: str, state: State, files: Mapping[str, str], credentials: Credentials) -> str:
    """What a service's containers are labelled with; it changes with the files and the secrets that they read."""
    read = [text for name, text in sorted(files.items()) if name.startswith(f"config/{service}/") and name != RELEASE]
    read += [credentials[name].reveal() for name in _SECRETS[service]]
    return digest(state, "\0".join(read))[:16]


def env_file(variables: Mapping[str, str]) -> str:
    """The variables as a file for `docker compose --env-file`, which reads back exactly these values."""
    return "".join(f"{name}={_quoted(value)}\n" for name, value in sorted(variables.items()))


def _of_service(service: str, settings: Settings) -> dict[str, object]:
    limits = getattr(settings, service)
    port = {f"{service}_PORT": limits.port} if hasattr(limits, "port") else {}
    return port | {
        f"{service}_MEMORY": int(limits.memory),
        f"{service}_CPUS": limits.cpus,
        f"{service}_PIDS": limits.pids,
    }


def _host(settings: Settings) -> str:
    """The address as ports are written in Compose files: IPv6 in brackets."""
    address = settings.proxy.bind
    return f"[{address}]" if address.version == IPV6 else str(address)


def _quoted(value: str) -> str:
    """In double quotes, which keep spaces and #; inside them Compose knows these escapes."""
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


@cache
def _templates(folder: Path) -> list[str]:
    """The rendered files' paths: those of their templates without the suffix."""
    return sorted(str(file.relative_to(folder).with_suffix("")) for file in folder.rglob("*.j2"))


@cache
def _environment(folder: Path) -> Environment:
    loader = FileSystemLoader(folder)
    environment = Environment(  # noqa: S701 - configuration files, no HTML
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["memory"] = sizing.memory_text
    environment.filters["sql"] = lambda text: text.replace("'", "''")  # inside of single quotes
    return environment


def _service(name: str) -> str:
    return Path(name).parts[1]


def _release(images: Mapping[str, str]) -> str:
    """The code's version, and the images by name."""
    version = (CHECKOUT / "VERSION").read_text(encoding="utf-8").strip()
    return json.dumps({"version": version, "images": dict(images)}, indent=1, sort_keys=True) + "\n"


def _userlist(credentials: Credentials) -> str:
    """The users that PgBouncer knows itself: the one that looks the others up. It logs in, so this is the password."""
    password = credentials.role_password("pgb_auth").reveal().replace('"', '""')
    return f'"pgb_auth" "{password}"\n'


def _redis_users(credentials: Credentials) -> str:
    """Redis's users. `app` may do all but administrate; `health` may only ask whether Redis is well.

    Nobody can be `default` (it is off), and yet it needs every right: at its start Redis replays its append-only file
    as that user, and a MULTI that it may not run is dropped, with what a queue held (*run*, Redis 8.0).
    """
    password = hashlib.sha256(credentials["redis_password"].reveal().encode()).hexdigest()
    return (
        "user default reset off ~* &* +@all\n"
        f"user app reset on #{password} ~* &* +@all -@admin -@dangerous +info +keys +flushdb +swapdb +sort\n"
        "user health reset on nopass +ping +info\n"
    )
