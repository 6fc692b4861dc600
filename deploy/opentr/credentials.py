"""The secrets of an environment: generated once, each in a file that its user may write instead of us.

Nothing here prints one: a Secret shows itself as [REDACTED].
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr import ui
from opentr.errors.backup import PassphraseChanged, PassphraseLost
from opentr.errors.settings import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from opentr.state import State

ROLES = ("app_rw", "app_ro", "app_migrator", "app_monitor", "pgb_auth")
"""The roles that log in with a password; `postgres` and `app_backup` come by the socket."""
_RECORD = "applied"
PASSPHRASE = "backup_passphrase"  # noqa: S105 - its name
"""What the backups are encrypted with: made once, because a repository can't take another."""
_FIRST_PASSPHRASE = "passphrase"  # noqa: S105 - the name of a record
CIPHER = "pgbackrest_cipher"
"""The passphrase as pgBackRest reads it."""
_CIPHER_PASS = "repo1-cipher-pass="  # noqa: S105 - a key of its configuration
S3_KEY = ("media_s3_key", "media_s3_secret")
"""The id of the media store's access key, and the key: the store's own, which its user writes there."""
# Without what is easily taken for something else: 0 O o 1 l I.
_READABLE = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def _password() -> str:
    """256 bits that need no quoting anywhere."""
    return secrets.token_hex(32)


def _readable() -> str:
    """116 bits in 20 characters that can be read aloud."""
    return "".join(secrets.choice(_READABLE) for _ in range(20))


_MAKERS: dict[str, Callable[[], str]] = {
    **{f"{role}_password": _password for role in ROLES},
    "redis_password": _password,
    "jwt_secret": lambda: secrets.token_hex(64),
    "admin_password": _readable,
    "backup_passphrase": _password,
    **dict.fromkeys(S3_KEY, _password),
}
NAMES = tuple(_MAKERS)
_MEANING = {
    "jwt_secret": "with the next start everybody has to log in again",
    "admin_password": "the administrator's password stays as it was; this one is for a new database",
}
_SHORTEST = {"jwt_secret": 32, "admin_password": 8, "media_s3_key": 3, "media_s3_secret": 8}
"""Characters at least: HS256 wants a key as long as its hash (RFC 7518, 3.2), and registering asks for 8.

A media store's keys are another's: MinIO wants 3 and 8."""
_SHORT, _LONG = 12, 512


class Secret:
    """A text that nothing shows by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "[REDACTED]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True)
class Credentials:
    """All secrets of an environment by their names in `secrets/`."""

    secrets: Mapping[str, Secret]

    def __getitem__(self, name: str) -> Secret:
        return self.secrets[name]

    def role_password(self, role: str) -> Secret:
        """The password of a role of Postgres."""
        return self[f"{role}_password"]

    def verifiers(self) -> dict[str, str]:
        """What Postgres keeps of each role's password (RFC 5803). The salt is random: each call gives others."""
        return {role: _verifier(self.role_password(role)) for role in ROLES}

    def values(self) -> list[str]:
        """The texts themselves, longest first: what must not be shown anywhere."""
        return sorted((secret.reveal() for secret in self.secrets.values()), key=len, reverse=True)


def ensure(state: State) -> Credentials:
    """The environment's secrets; what is missing is generated and written, what is there stays as it is.

    The passphrase of prod's backups is made once, and never again: lost, it is taken from where pgBackRest reads it.

    Raises CredentialInvalid for a file that can't be a secret, PassphraseChanged, PassphraseLost, StateUnwritable for
    one that can't be read or written.
    """
    missing = [name for name in NAMES if not _file(state, name).exists()]
    if PASSPHRASE in missing and state.environment == "prod":
        _recover_passphrase(state)
    found = Credentials({name: _one(state, name) for name in NAMES})
    if state.environment == "prod":
        _refuse_other_passphrase(state, found)
    _tell_what_it_means(state, missing)
    return found


def cipher(credentials: Credentials) -> str:
    """The passphrase as pgBackRest reads it."""
    return f"[global]\n{_CIPHER_PASS}{credentials[PASSPHRASE].reveal()}\n"


def digest(state: State, text: str) -> str:
    """A digest that shows whether a text has changed, and tells who doesn't know the state's key nothing about it."""
    return hmac.new(state.key.encode(), text.encode(), hashlib.sha256).hexdigest()


def changed_roles(state: State, credentials: Credentials) -> list[str]:
    """The roles whose passwords aren't those that `applied` recorded last; at first all of them."""
    applied = state.read(_RECORD) or {}
    now = _digests(state, credentials)
    return [role for role in ROLES if applied.get(role) != now[role]]


def applied(state: State, credentials: Credentials) -> None:
    """Record that the server has these passwords now."""
    state.write(_RECORD, _digests(state, credentials))


def statements(credentials: Credentials, roles: Iterable[str] = ROLES) -> str:
    """SQL that gives these roles their passwords, for psql's standard input, as a superuser: all or none.

    Postgres gets the verifiers alone, and keeps neither in its log nor in pg_stat_statements.
    """
    verifiers = credentials.verifiers()
    return "\n".join(
        [
            "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';",
            "SET pg_stat_statements.track_utility = off;",
            "BEGIN;",
            *(f"ALTER ROLE {role} PASSWORD '{verifiers[role]}';" for role in roles),
            "COMMIT;",
            "",
        ]
    )


def _verifier(password: Secret) -> str:
    """The form that Postgres stores, with its own iteration count (scram_iterations).

    Passwords here are ASCII alone, so that SASLprep leaves them as they are.
    """
    salt, rounds = secrets.token_bytes(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.reveal().encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    in_text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{in_text[0]}${in_text[1]}:{in_text[2]}"


def _digests(state: State, credentials: Credentials) -> dict[str, str]:
    return {role: digest(state, f"{role} {credentials.role_password(role).reveal()}") for role in ROLES}


def _recover_passphrase(state: State) -> None:
    """Write the passphrase's file again where one was made. Raises PassphraseLost if nothing has it any more."""
    if (text := _first_passphrase(state)) is None:
        if state.read(_FIRST_PASSPHRASE) is None and state.read(_RECORD) is None:
            return
        raise PassphraseLost(_file(state, PASSPHRASE))
    state.create(f"secrets/{PASSPHRASE}", text + "\n")
    ui.note(f"secrets/{PASSPHRASE} was gone; it is there again, from secrets/{CIPHER}; keep a copy elsewhere")


def _first_passphrase(state: State) -> str | None:
    """The passphrase that was made first, from the file that pgBackRest reads; None if that hasn't it."""
    file, first = _file(state, CIPHER), state.read(_FIRST_PASSPHRASE)
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8").partition(_CIPHER_PASS)[2].strip()
    return text if text and (first is None or first["digest"] == digest(state, text)) else None


def _refuse_other_passphrase(state: State, found: Credentials) -> None:
    """Raises PassphraseChanged if the backups' passphrase isn't the one that was made first."""
    now = digest(state, found[PASSPHRASE].reveal())
    first = state.read(_FIRST_PASSPHRASE)
    if first is None:
        state.write(_FIRST_PASSPHRASE, {"digest": now})
    elif first["digest"] != now:
        elsewhere = _file(state, CIPHER) if _first_passphrase(state) else None
        raise PassphraseChanged(_file(state, PASSPHRASE), elsewhere)


def _tell_what_it_means(state: State, made: Iterable[str]) -> None:
    """What a secret that was made anew changes for people, where services had another one before."""
    if state.read(_RECORD) is None:
        return
    for name in made:
        if name in _MEANING:
            ui.note(f"secrets/{name} was gone and is made anew: {_MEANING[name]}")


def _file(state: State, name: str) -> Path:
    return state.folder / "secrets" / name


def _one(state: State, name: str) -> Secret:
    place = f"secrets/{name}"
    try:
        text = state.create(place, _MAKERS[name]() + "\n").removesuffix("\n")
    except UnicodeDecodeError:
        raise CredentialInvalid(state.folder / place, "it isn't text") from None
    if reason := _fault(text, _SHORTEST.get(name, _SHORT)):
        raise CredentialInvalid(state.folder / place, reason)
    return Secret(text)


def _fault(text: str, shortest: int) -> str | None:
    """Why this can't be a secret; None if it can. Never holds the text."""
    if not text:
        return "it is empty"
    if len(text.splitlines()) > 1:
        return "it has more than one line"
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        return "only letters, digits and signs of ASCII can be in it, and no space at its ends"
    if not shortest <= len(text) <= _LONG:
        return f"it must have {shortest} to {_LONG} characters, and has {len(text)}"
    return None
