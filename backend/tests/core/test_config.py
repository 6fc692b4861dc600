from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import make_url

from app.core import config
from app.db import errors

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret/@:value"  # noqa: S105 - what must not be shown


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in config.Settings.model_fields:
        monkeypatch.delenv(name, raising=False)


def _load(monkeypatch: pytest.MonkeyPatch, **variables: object) -> config.Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    return config.load()


def test_an_empty_environment_has_settings_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch)
    assert settings.DATABASE_URL == "postgresql+psycopg2://app_rw@127.0.0.1:5432/opentranscribe"
    assert settings.DATABASE_URL == settings.MIGRATOR_DATABASE_URL
    assert (settings.DB_POOL_SIZE, settings.DB_MAX_OVERFLOW, settings.DB_POOL_PRE_PING) == (20, 30, True)
    assert (settings.DB_POOL_RECYCLE_SECONDS, settings.DB_SLOW_STATEMENT_MS) == (3600, 500)


def test_behind_a_pooler_the_pools_defaults_are_smaller_and_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _load(monkeypatch, DB_BEHIND_POOLER="Yes", DB_MAX_OVERFLOW=2)
    assert (settings.DB_POOL_SIZE, settings.DB_MAX_OVERFLOW, settings.DB_POOL_PRE_PING) == (5, 2, False)


@pytest.mark.parametrize("text", ["postgres://a@h:1/d", "postgresql://a@h:1/d", "host=h port=1 user=a dbname=d"])
def test_addresses_as_people_write_them_name_our_driver(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert _load(monkeypatch, DATABASE_URL=text).DATABASE_URL == "postgresql+psycopg2://a@h:1/d"


def test_passwords_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "application").write_text(f"{SECRET}\n")
    (tmp_path / "migrator").write_text("other")
    settings = _load(
        monkeypatch,
        DATABASE_PASSWORD_FILE=tmp_path / "application",
        MIGRATOR_DATABASE_URL="postgresql://app_migrator@h/d",
        MIGRATOR_PASSWORD_FILE=tmp_path / "migrator",
    )
    assert make_url(settings.DATABASE_URL).password == SECRET
    assert make_url(settings.MIGRATOR_DATABASE_URL).password == "other"  # noqa: S105
    assert make_url(settings.MIGRATOR_DATABASE_URL).username == "app_migrator"


def test_a_password_file_holds_for_the_migrator_only_at_the_same_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text(SECRET)
    same = _load(monkeypatch, DATABASE_PASSWORD_FILE=tmp_path / "file")
    assert same.MIGRATOR_DATABASE_URL == same.DATABASE_URL
    other = _load(monkeypatch, MIGRATOR_DATABASE_URL="postgresql://app_migrator@h/d")
    assert make_url(other.MIGRATOR_DATABASE_URL).password is None


def test_a_password_in_the_address_goes_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql+psycopg2://a:direct@h/d"
    settings = _load(monkeypatch, DATABASE_URL=url, DATABASE_PASSWORD_FILE=tmp_path / "missing")
    assert url == settings.DATABASE_URL


def test_the_password_of_redis_comes_from_its_file_whatever_signs_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text(f"{SECRET}\n")
    settings = _load(monkeypatch, REDIS_URL="redis://app@h:1/2", REDIS_PASSWORD_FILE=tmp_path / "file")
    words = Redis.from_url(settings.REDIS_URL).connection_pool.connection_kwargs
    assert (words["username"], words["password"], words["host"], words["db"]) == ("app", SECRET, "h", 2)
    given = "redis://app:given@h:1/2"
    assert given == _load(monkeypatch, REDIS_URL=given).REDIS_URL


def test_the_signing_key_comes_from_its_file_and_is_long_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert _load(monkeypatch).JWT_SECRET is None
    (tmp_path / "key").write_text(f"{SECRET * 3}\n")
    settings = _load(monkeypatch, JWT_SECRET_FILE=tmp_path / "key")
    assert settings.JWT_SECRET
    assert settings.JWT_SECRET.get_secret_value() == SECRET * 3
    assert "s3cret" not in f"{settings!r} {settings.__dict__} {settings.__pydantic_private__}"
    (tmp_path / "key").write_text("s3cret" * 5)
    with pytest.raises(errors.BadInput, match=r"JWT_SECRET_FILE: .* holds fewer than 32 bytes"):
        config.load()


def test_no_secret_is_in_the_representation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(SECRET)
    settings = _load(
        monkeypatch,
        DATABASE_PASSWORD_FILE=tmp_path / "file",
        MIGRATOR_DATABASE_URL="postgresql://m:s3cret@h/d",
        REDIS_PASSWORD_FILE=tmp_path / "file",
    )
    assert "s3cret" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DB_POOL_SIZE": "many"}, "DB_POOL_SIZE should be a valid integer"),
        ({"DB_POOL_SIZE": "0"}, "DB_POOL_SIZE should be greater than or equal to 1"),
        ({"DB_POOL_TIMEOUT_SECONDS": "-1"}, "DB_POOL_TIMEOUT_SECONDS should be greater"),
        ({"DB_BEHIND_POOLER": "perhaps"}, "DB_BEHIND_POOLER should be a valid boolean"),
        ({"LOCK_TIMEOUT_MS": str(2**31)}, "LOCK_TIMEOUT_MS should be less than or equal to 2147483647"),
        ({"MIGRATION_STATEMENT_TIMEOUT_MS": str(2**31)}, "MIGRATION_STATEMENT_TIMEOUT_MS should be less than"),
        ({"DB_SLOW_STATEMENT_MS": str(2**31)}, "DB_SLOW_STATEMENT_MS should be less than"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT should be 'json' or 'text'"),
        ({"LOG_LEVEL": "LOUD", "DB_MAX_OVERFLOW": "x"}, "DB_MAX_OVERFLOW should be .*; LOG_LEVEL should be"),
        ({"DATABASE_URL": "mysql://u:s3cret@h/d"}, "DATABASE_URL mysql is not PostgreSQL"),
        ({"MIGRATOR_DATABASE_URL": "nonsense"}, "MIGRATOR_DATABASE_URL that isn't a database address"),
        ({"DATABASE_PASSWORD_FILE": "/nowhere"}, "DATABASE_PASSWORD_FILE: /nowhere can't be read: No such file"),
        ({"REDIS_URL": "http://u:s3cret@h/0"}, "REDIS_URL that isn't a Redis address"),
        ({"REDIS_URL": "redis://u:s3cret@h:port/0"}, "REDIS_URL that isn't a Redis address"),
        ({"REDIS_PASSWORD_FILE": "/nowhere"}, "REDIS_PASSWORD_FILE: /nowhere can't be read: No such file"),
        ({"JWT_SECRET_FILE": "/nowhere"}, "JWT_SECRET_FILE: /nowhere can't be read: No such file"),
        ({"TASK_LONGEST_SECONDS": "10"}, "TASK_LONGEST_SECONDS should be greater"),
        ({"MIGRATOR_PASSWORD_FILE": "/dev/null"}, "MIGRATOR_PASSWORD_FILE: /dev/null is empty"),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(errors.BadInput, match=f"wrong settings: {words}") as raised:
        _load(monkeypatch, **variables)
    assert raised.value.exit_code == 2
    assert "s3cret" not in str(raised.value)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _load(monkeypatch, DATABASE_URL="", DB_POOL_SIZE="", LOG_LEVEL="debug").DB_POOL_SIZE == 20


@pytest.mark.parametrize("name", ["DATABASE_URL", "MIGRATOR_DATABASE_URL", "DB_POOL_SIZE", "DATABASE_PASSWORD_FILE"])
def test_a_blank_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert _load(monkeypatch, **{name: " \t "}) == config.Settings.model_validate({})


def test_settings_do_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        _load(monkeypatch).DB_POOL_SIZE = 1  # type: ignore[misc]


def test_the_version_is_that_of_the_tree() -> None:
    assert (config.CHECKOUT / "VERSION").read_text().strip() == config.settings.VERSION


@pytest.mark.parametrize("url", ["s3://recordings", "s3://recordings/a/prefix", "s3://recordings/"])
def test_recordings_may_be_in_a_bucket_and_its_key_in_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    (tmp_path / "id").write_text("id\n")
    (tmp_path / "key").write_text(SECRET)
    files = {"MEDIA_S3_KEY_FILE": tmp_path / "id", "MEDIA_S3_SECRET_FILE": tmp_path / "key"}
    settings = _load(monkeypatch, MEDIA_URL=url, **files)
    assert url.rstrip("/") == settings.MEDIA_URL
    assert settings.MEDIA_S3_KEY is not None
    assert [each.get_secret_value() for each in settings.MEDIA_S3_KEY] == ["id", SECRET]
    assert SECRET not in repr(settings)
    monkeypatch.delenv("MEDIA_S3_KEY_FILE")
    with pytest.raises(errors.BadInput, match="set both, or none"):
        _load(monkeypatch)


@pytest.mark.parametrize("url", ["recordings", "https://a/b", "s3://", "s3://UPPER", "s3://a b", "s3://bucket?x=y"])
def test_what_is_no_bucket_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(errors.BadInput, match="MEDIA_URL"):
        _load(monkeypatch, MEDIA_URL=url)


def test_every_setting_is_explained() -> None:
    assert [name for name, field in config.Settings.model_fields.items() if not field.description] == []


def test_every_setting_is_in_the_example() -> None:
    lines = (config.CHECKOUT / "backend" / ".env.example").read_text().splitlines()
    named = {line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")}
    assert named == set(config.Settings.model_fields)


def test_a_lock_is_never_waited_for_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.BadInput, match="LOCK_TIMEOUT_MS"):
        _load(monkeypatch, LOCK_TIMEOUT_MS="0")
