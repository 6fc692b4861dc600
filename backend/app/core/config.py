"""The application's settings, and the only place that reads the environment.

Each setting is an environment variable of the same name. A password doesn't belong in one: name a file instead
(`DATABASE_PASSWORD_FILE`), which is how containers get their secrets.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.db import connect, errors

CHECKOUT = Path(__file__).resolve().parents[3]
VERSION_FILE = CHECKOUT / "VERSION"

_POOL_DEFAULTS_BEHIND_POOLER = {"DB_POOL_SIZE": 5, "DB_MAX_OVERFLOW": 10, "DB_POOL_PRE_PING": False}

_MOST_MILLISECONDS = 2**31 - 1
"""What PostgreSQL takes as a timeout: an integer of its own."""

_LEAST_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key for HS256 is at least as long as its hash."""

Milliseconds = Annotated[int, Field(ge=0, le=_MOST_MILLISECONDS)]
Seconds = Annotated[int, Field(ge=0)]


def _database_url(text: str) -> str:
    if not text:
        return text
    try:
        url = connect.parse_url(text)
    except errors.BadInput as error:
        raise ValueError(f"{error.what}; {error.hint}") from None
    return url.render_as_string(hide_password=False)


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]


def _redis_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("redis", "rediss") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("that isn't a Redis address; write redis://user@host:port/0")
    return text


RedisUrl = Annotated[str, AfterValidator(_redis_url)]


def _media_url(text: str) -> str:
    if text and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/?#]+)*/?", text):
        raise ValueError("that isn't a place for recordings; write s3://bucket or s3://bucket/prefix")
    return text.rstrip("/")


MediaUrl = Annotated[str, AfterValidator(_media_url)]


def _words(text: object) -> object:
    return text.replace(",", " ").split() if isinstance(text, str) else text


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
"""Several words in one variable, with commas or blanks in between."""


class Settings(BaseSettings):
    """All settings; frozen. Upper case as OpenTranscribe's code knows them."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    DATABASE_URL: DatabaseUrl = Field(
        "postgresql+psycopg2://app_rw@127.0.0.1:5432/opentranscribe",
        repr=False,
        description="the pooled way to the database: API and workers, role app_rw",
    )
    DATABASE_PASSWORD_FILE: Path | None = Field(None, description="holds the password, if DATABASE_URL has none")
    MIGRATOR_DATABASE_URL: DatabaseUrl = Field(
        "", repr=False, description="the direct way: migrations and checks, role app_migrator; default: DATABASE_URL"
    )
    MIGRATOR_PASSWORD_FILE: Path | None = Field(
        None, description="holds the password, if MIGRATOR_DATABASE_URL has none"
    )
    APPLICATION_NAME: str = Field("opentr-app", max_length=63, description="how the server's views name our sessions")

    DB_BEHIND_POOLER: bool = Field(
        default=False, description="DATABASE_URL is a PgBouncer's: a small pool without pings"
    )
    DB_POOL_SIZE: int = Field(20, ge=1, description="connections that stay open in each process; 5 behind a pooler")
    DB_MAX_OVERFLOW: int = Field(30, ge=0, description="further ones while they are needed; 10 behind a pooler")
    DB_POOL_PRE_PING: bool = Field(default=True, description="ask a connection before using it; off behind a pooler")
    DB_POOL_RECYCLE_SECONDS: Seconds = Field(3600, description="age at which a connection is replaced")
    DB_POOL_TIMEOUT_SECONDS: Seconds = Field(30, description="how long to wait for a free connection")
    DB_SLOW_STATEMENT_MS: Milliseconds = Field(500, description="statements that take this long are logged; 0: none")

    LOCK_TIMEOUT_MS: int = Field(
        2000,
        ge=1,
        le=_MOST_MILLISECONDS,
        description="how long a migration waits for a lock, each time; never without limit",
    )
    MIGRATION_STATEMENT_TIMEOUT_MS: Milliseconds = Field(
        600_000, description="longest statement of a migration (building an index concurrently: two hours); 0: none"
    )

    REDIS_URL: RedisUrl = Field(
        "redis://127.0.0.1:6379/0", repr=False, description="the broker that carries the workers' messages"
    )
    REDIS_PASSWORD_FILE: Path | None = Field(None, description="holds the password, if REDIS_URL has none")
    TASK_LONGEST_SECONDS: int = Field(
        21_600, ge=300, description="longest run of a task; a lost message is delivered again ten minutes after that"
    )
    WORKER_STOP_SECONDS: Seconds = Field(
        20, description="how long a worker that is stopped (SIGTERM) lets its tasks go on; then they are queued again"
    )
    LEASE_SECONDS: int = Field(
        60, ge=1, description="how long after its last sign of life a worker's task is taken for stranded"
    )
    SWEEP_SECONDS: int = Field(30, ge=1, description="how often each worker looks for stranded tasks and lost messages")
    TASK_RESEND_SECONDS: Seconds = Field(
        600, description="age at which a task's message counts as lost, while there are fewer messages than tasks"
    )

    JWT_SECRET_FILE: Path | None = Field(
        None, description="holds the key that signs access tokens, 32 characters or more, the same in all processes"
    )
    ACCESS_TOKEN_MINUTES: int = Field(60, ge=1, description="how long a login lasts")
    LOGIN_ATTEMPTS_PER_MINUTE: int = Field(
        10, ge=1, description="refused logins with one email from one address; then 429 until a minute is over"
    )
    CORS_ORIGINS: Words = Field((), description="pages that may call the API from a browser: https://host, or *")
    ALLOWED_HOSTS: Words = Field(("*",), description="names that the API is called by: host, *.domain, or * for any")
    PROMETHEUS_MULTIPROC_DIR: Path | None = Field(
        None, description="where several API processes add up their metrics; prometheus-client's own variable"
    )
    MEDIA_ROOT: Path = Field(Path("/srv/media/current"), description="the folder of the recordings")
    MEDIA_URL: MediaUrl = Field("", description="s3://bucket or s3://bucket/prefix: the recordings are there instead")
    MEDIA_S3_ENDPOINT: str = Field("", description="address of the S3 store, as https://host; default: Amazon's")
    MEDIA_S3_REGION: str = Field("", description="its region")
    MEDIA_S3_KEY_FILE: Path | None = Field(None, description="holds the access key's id; read if MEDIA_URL is set")
    MEDIA_S3_SECRET_FILE: Path | None = Field(None, description="holds the access key")
    UPLOAD_LIMIT: int = Field(8 * 1024**3, ge=1, description="bytes of a recording at most")
    STREAM_TOKEN_MINUTES: int = Field(240, ge=1, description="how long a recording's address for players works")

    TRANSCRIPTION_ENGINE: str = Field(
        "faster-whisper", description="or module:function, which makes another engine (app.transcription.engine)"
    )
    TRANSCRIPTION_LONGEST_SECONDS: int = Field(86_400, ge=60, description="longest recording that is transcribed")
    WHISPER_MODEL: str = Field(
        "tiny.en", description="a folder with a model, or its name; the image has tiny.en, others are downloaded once"
    )
    WHISPER_DEVICE: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cuda: a GPU; auto: one if it is there")
    WHISPER_COMPUTE_TYPE: str = Field("int8", description="precision, as CTranslate2 names it; float16 for a GPU")
    WHISPER_BEAM_SIZE: int = Field(5, ge=1, le=20, description="guesses followed at once; 1: fastest, a little worse")
    WHISPER_THREADS: int = Field(0, ge=0, description="threads of each process on the processor; 0: CTranslate2's own")

    ADMIN_EMAIL: str = Field("admin@example.com", description="the administrator that app.initial_data makes")
    ADMIN_PASSWORD_FILE: Path | None = Field(None, description="holds that one's password; default: a generated one")

    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="least level logged"
    )
    LOG_FORMAT: Literal["json", "text"] = Field("json", description="json: one object a line, for machines")

    _jwt_secret: SecretStr | None = PrivateAttr(None)
    _media_s3_key: tuple[SecretStr, SecretStr] | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _blank_is_unset(cls, given: dict[str, Any]) -> dict[str, Any]:
        """A variable of spaces alone counts as unset, as an empty one does."""
        return {name: value for name, value in given.items() if not isinstance(value, str) or value.strip()}

    @model_validator(mode="before")
    @classmethod
    def _pool_defaults(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Behind a pooler the pool has other defaults than the fields'."""
        behind = str(given.get("DB_BEHIND_POOLER", "")).lower() in ("1", "true", "yes", "on", "y", "t")
        return _POOL_DEFAULTS_BEHIND_POOLER | given if behind else given

    @field_validator("LOG_LEVEL", "LOG_FORMAT", mode="before")
    @classmethod
    def _any_case(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "LOG_LEVEL" else value.lower()

    @model_validator(mode="after")
    def _complete_urls(self) -> Self:
        """Fills in what the URLs lack: passwords from their files, the migrator's address from the application's."""
        migrator_url = self.MIGRATOR_DATABASE_URL or self.DATABASE_URL
        migrator_file = self.MIGRATOR_PASSWORD_FILE or (
            None if self.MIGRATOR_DATABASE_URL else self.DATABASE_PASSWORD_FILE
        )
        completed = {
            "DATABASE_URL": _with_password(self.DATABASE_URL, self.DATABASE_PASSWORD_FILE, "DATABASE_PASSWORD_FILE"),
            "MIGRATOR_DATABASE_URL": _with_password(migrator_url, migrator_file, "MIGRATOR_PASSWORD_FILE"),
        }
        self.__dict__.update(completed)
        return self

    @model_validator(mode="after")
    def _read_secrets(self) -> Self:
        self.__dict__.update(REDIS_URL=_with_redis_password(self.REDIS_URL, self.REDIS_PASSWORD_FILE))
        if self.JWT_SECRET_FILE is not None:
            secret = _content(self.JWT_SECRET_FILE, "JWT_SECRET_FILE")
            if len(secret.encode()) < _LEAST_SECRET_BYTES:
                raise ValueError(
                    f"JWT_SECRET_FILE: {self.JWT_SECRET_FILE} holds fewer than {_LEAST_SECRET_BYTES} bytes"
                )
            self._jwt_secret = SecretStr(secret)
        return self

    @model_validator(mode="after")
    def _read_s3_key(self) -> Self:
        id_file, secret_file = self.MEDIA_S3_KEY_FILE, self.MEDIA_S3_SECRET_FILE
        if (id_file is None) != (secret_file is None):
            raise ValueError("MEDIA_S3_KEY_FILE and MEDIA_S3_SECRET_FILE: set both, or none")
        if self.MEDIA_URL and id_file is not None and secret_file is not None:
            self._media_s3_key = (
                SecretStr(_content(id_file, "MEDIA_S3_KEY_FILE")),
                SecretStr(_content(secret_file, "MEDIA_S3_SECRET_FILE")),
            )
        return self

    @property
    def MEDIA_S3_KEY(self) -> tuple[SecretStr, SecretStr] | None:  # noqa: N802 - a setting to its readers
        """The access key's id and the key itself; None: as boto finds them (the machine's role)."""
        return self._media_s3_key

    @property
    def JWT_SECRET(self) -> SecretStr | None:  # noqa: N802 - a setting to its readers
        """The content of JWT_SECRET_FILE."""
        return self._jwt_secret

    @property
    def VERSION(self) -> str:  # noqa: N802 - a setting to its readers
        """The release that this code is: the content of the file VERSION."""
        return VERSION_FILE.read_text(encoding="utf-8").strip()


def _with_password(text: str, file: Path | None, variable: str) -> str:
    url = connect.parse_url(text)
    if file is None or url.password is not None:
        return text
    return url.set(password=_content(file, variable)).render_as_string(hide_password=False)


def _with_redis_password(text: str, file: Path | None) -> str:
    parts = urlsplit(text)
    if file is None or parts.password is not None:
        return text
    user, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(_content(file, 'REDIS_PASSWORD_FILE'), safe='')}@{place}").geturl()


def _content(file: Path, variable: str) -> str:
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it isn't UTF-8 text"
        raise ValueError(f"{variable}: {file} can't be read: {reason}") from None
    if not text:
        raise ValueError(f"{variable}: {file} is empty")
    return text


def load() -> Settings:
    """The settings of this process's environment. Raises `BadInput`, which names each variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(_in_words(detail["loc"], detail["msg"]) for detail in error.errors(include_input=False))
        raise errors.BadInput(
            f"wrong settings: {wrong}", "correct these environment variables; backend/.env.example explains them"
        ) from None


def _in_words(place: tuple[int | str, ...], message: str) -> str:
    words = message.removeprefix("Value error, ").removeprefix("Input ")
    return f"{place[0]} {words}" if place else words


settings = load()
