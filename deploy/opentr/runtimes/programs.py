"""What the embedded runtime runs: for each service a program with its variables, as docker-compose.dev.yml has it.

Values alone: nothing here starts one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from opentr import sizing
from opentr.runtimes import layout as folders
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentr.places import Places
    from opentr.runtimes.layout import Layout
    from opentr.settings import Settings
    from opentr.state import State

SERVICES = ("postgres", "redis", "api", "worker")
"""In the order of their start."""
NEEDS = {"postgres": (), "redis": (), "api": ("postgres", "redis"), "worker": ("postgres", "redis")}
STOP = {"postgres": ("INT", 60), "redis": ("TERM", 30), "api": ("TERM", 30), "worker": ("TERM", 30)}
"""The signal that stops a service, and the seconds that it has to end: those of the Compose file, which says why."""
ROLES = ("app_rw", "app_ro", "app_migrator", "app_monitor", "pgb_auth")
"""Whose passwords Postgres's first start sets."""
MARK = "OPENTRANSCRIBE_SERVICE"
"""The variable by which what a service has started is known for its own, also when it is an orphan."""
PORTS = {"postgres": 5432, "redis": 6379, "api": 8000}
"""A service's port in a container, by which others ask for its address."""
_BACKEND = CHECKOUT / "backend"
_READ = {
    "postgres": (),
    "redis": ("redis_users",),
    "api": ("app_rw_password", "redis_password", "jwt_secret", "media_s3_key", "media_s3_secret"),
    "worker": ("app_rw_password", "redis_password", "jwt_secret", "media_s3_key", "media_s3_secret"),
}
"""The secrets that a service reads when it starts."""


@dataclass(frozen=True)
class Program:
    """A service as a process."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str
    """where it starts"""
    signal: str
    """what stops it: INT, TERM"""
    account: tuple[str, int, int] | None
    """name, uid and gid of its user, if that isn't us"""
    reads: str
    """a digest of the files that it reads when it starts: others make another program of it"""

    @property
    def digest(self) -> str:
        """Another program has another one."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class House:
    """All that programs are made from."""

    settings: Settings
    state: State
    layout: Layout
    places: Places
    ports: Mapping[str, int]

    def program(self, service: str) -> Program:
        """The service's program. Raises ProgramsMissing."""
        account = self.layout.account if service == "postgres" else None
        return Program(
            argv=tuple(self._argv(service)),
            environment=self.environment(service) | {MARK: f"{self.layout.mark}/{service}"},
            folder=str(self.layout.postgres if service == "postgres" else _BACKEND),
            signal=STOP[service][0],
            account=(account.name, account.uid, account.gid) if account else None,
            reads=self._digest(service),
        )

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service; of `migrate`, which is for one-offs, too. Raises ProgramsMissing."""
        own = {
            "postgres": self._postgres,
            "redis": dict,
            "api": self._api,
            "worker": self._worker,
            "migrate": self._migrate,
        }[service]()
        path = [self.layout.run / "bin", folders.environment() / "bin", folders.postgres_programs(self.layout)]
        words = [*map(str, [*path, folders.redis_programs()]), "/usr/local/bin", "/usr/bin", "/bin"]
        return {"PATH": ":".join(words), "TZ": "UTC", "LC_ALL": "C.UTF-8"} | own

    def _argv(self, service: str) -> Sequence[str]:
        python_m = [str(folders.environment() / "bin" / "python"), "-m"]
        keeping = [*python_m, "app.reload"]
        match service:
            case "postgres":
                return ["bash", str(self.layout.postgres / "entrypoint.sh")]
            case "redis":
                return ["redis-server", str(self.state.folder / "config/redis/redis.conf")]
            case "api":
                uvicorn = ["uvicorn", "app.main:app", "--fd", "{socket}", "--log-config", "uvicorn.json"]
                uvicorn += ["--no-access-log", "--timeout-graceful-shutdown", "20"]
                return [*keeping, "--bind", f"127.0.0.1:{self.ports['api']}", *python_m, *uvicorn]
            case _:
                celery = ["celery", "--quiet", "--app", "app.core.celery:celery_app", "worker"]
                celery += ["--hostname", "celery@%h", "--concurrency", str(self.settings.worker.processes)]
                return [*keeping, *python_m, *celery, "--without-gossip", "--without-mingle", "--without-heartbeat"]

    def _postgres(self) -> dict[str, str]:
        own = self.layout.postgres
        return {
            "PGDATA": self.places.postgres_data,
            "PGHOST": str(self.layout.socket),
            "PGPORT": str(self.ports["postgres"]),
            "PSQL_HISTORY": "/dev/null",
            "CONFIG_FOLDER": str(own / "config"),
            "SECRETS_FOLDER": str(own / "secrets"),
            "ROLES_SQL": str(own / "roles.sql"),
        }

    def _app(self) -> dict[str, str]:
        media, secrets = self.settings.media, self.state.folder / "secrets"
        return {
            "DATABASE_URL": f"postgresql+psycopg2://app_rw@127.0.0.1:{self.ports['postgres']}/opentranscribe",
            "DATABASE_PASSWORD_FILE": f"{secrets}/app_rw_password",
            "DB_BEHIND_POOLER": "false",
            "REDIS_URL": f"redis://app@127.0.0.1:{self.ports['redis']}/0",
            "REDIS_PASSWORD_FILE": f"{secrets}/redis_password",
            "JWT_SECRET_FILE": f"{secrets}/jwt_secret",
            "MEDIA_ROOT": str(self.layout.data("media") / "current"),
            "MEDIA_URL": media.url,
            "MEDIA_S3_ENDPOINT": media.s3_endpoint,
            "MEDIA_S3_REGION": media.s3_region,
            "MEDIA_S3_KEY_FILE": f"{secrets}/media_s3_key",
            "MEDIA_S3_SECRET_FILE": f"{secrets}/media_s3_secret",
            "LOG_LEVEL": self.settings.app.log_level,
            "ADMIN_EMAIL": self.settings.admin.email,
            "PYTHONPATH": str(_BACKEND),
            "PYTHONUNBUFFERED": "1",
            "PYDANTIC_DISABLE_PLUGINS": "__all__",  # there are none; looking for them takes time at each start
            # What we write is for our own eyes (umask), and containers that run from this checkout read it as another.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _api(self) -> dict[str, str]:
        api = self.settings.api
        return self._app() | {
            "APPLICATION_NAME": "opentr-api",
            "ACCESS_TOKEN_MINUTES": str(api.token_minutes),
            "ALLOWED_HOSTS": api.allowed_hosts,
            "CORS_ORIGINS": api.cors_origins,
            "UPLOAD_LIMIT": str(int(self.settings.media.upload_limit)),
            "PROMETHEUS_MULTIPROC_DIR": str(self.layout.run / "metrics"),
        }

    def _worker(self) -> dict[str, str]:
        worker = self.settings.worker
        return self._app() | {
            "APPLICATION_NAME": "opentr-worker",
            "WHISPER_MODEL": worker.model,
            "WHISPER_DEVICE": worker.device,
            "WHISPER_COMPUTE_TYPE": worker.compute_type,
            "WHISPER_THREADS": str(sizing.worker_threads(self.settings)),
            "TRANSCRIPTION_LONGEST_SECONDS": str(int(worker.longest)),
            "WORKER_STOP_SECONDS": "3",
            "HF_HOME": str(self.layout.data("models")),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def _migrate(self) -> dict[str, str]:
        secrets = self.state.folder / "secrets"
        return self._app() | {
            "APPLICATION_NAME": "opentr-migrate",
            "MIGRATOR_DATABASE_URL": (
                f"postgresql+psycopg2://app_migrator@127.0.0.1:{self.ports['postgres']}/opentranscribe"
            ),
            "MIGRATOR_PASSWORD_FILE": f"{secrets}/app_migrator_password",
            "ADMIN_PASSWORD_FILE": f"{secrets}/admin_password",
        }

    def _digest(self, service: str) -> str:
        folder = self.state.folder
        files = [
            *sorted((folder / "config" / service).glob("*")),
            *(folder / "secrets" / name for name in _READ[service]),
        ]
        found = hashlib.sha256(self.state.key.encode())
        for each in files:
            found.update(f"{each.name}\0".encode())
            found.update(each.read_bytes() if each.exists() else b"")
        return found.hexdigest()
