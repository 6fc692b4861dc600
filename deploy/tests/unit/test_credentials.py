from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

import pytest

from opentr import credentials, settings, state, ui
from opentr.errors import ExitCode
from opentr.errors.backup import PassphraseChanged, PassphraseLost
from opentr.errors.settings import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.state import State


@pytest.fixture
def opened(tmp_path: Path) -> State:
    return state.opened(settings.read("dev", {"OPENTR_ENV_FILE": "none", "OPENTR_STATE_DIR": str(tmp_path)}))


def write(opened: State, name: str, text: str) -> Path:
    file = opened.folder / "secrets" / name
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)  # it can't be written to
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_secrets_are_made_once_and_all_differ(opened: State):
    first = credentials.ensure(opened)
    assert first == credentials.ensure(opened)
    assert len(set(first.values())) == len(credentials.NAMES) == 11
    for name in credentials.NAMES:
        assert (opened.folder / "secrets" / name).read_text() == first[name].reveal() + "\n"


def test_the_admins_password_can_be_read_aloud(opened: State):
    assert re.fullmatch(r"[a-km-zA-HJ-NP-Z2-9]{20}", credentials.ensure(opened)["admin_password"].reveal())


def test_nothing_shows_a_secret_by_accident(opened: State):
    made = credentials.ensure(opened)
    shown = f"{made} {made!r} {made['jwt_secret']} {[made['jwt_secret']]}"
    assert "[REDACTED]" in shown
    assert not [text for text in made.values() if text in shown]


def test_a_secret_that_was_removed_is_made_anew(opened: State):
    first = credentials.ensure(opened)
    (opened.folder / "secrets" / "redis_password").unlink()
    second = credentials.ensure(opened)
    assert [name for name in credentials.NAMES if first[name] != second[name]] == ["redis_password"]


def test_a_user_may_write_a_secret_himself(opened: State):
    file = write(opened, "app_rw_password", "correct horse \"battery' \\ $taple\r\n")
    file.chmod(0o600)
    assert credentials.ensure(opened).role_password("app_rw").reveal() == "correct horse \"battery' \\ $taple"
    assert file.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("app_rw_password", "", "it is empty"),
        ("app_rw_password", "\n", "it is empty"),
        ("app_rw_password", "longenough\nlongenough\n", "it has more than one line"),
        ("app_rw_password", "pässwörtlein\n", "only letters, digits and signs of ASCII"),
        ("app_rw_password", "tab\tin the middle", "only letters, digits and signs of ASCII"),
        ("app_rw_password", "a space at its end \n", "no space at its ends"),
        ("app_rw_password", "short", "it must have 12 to 512 characters, and has 5"),
        ("jwt_secret", "x" * 31, "it must have 32 to 512 characters, and has 31"),
        ("admin_password", "1234567", "it must have 8 to 512 characters, and has 7"),
    ],
)
def test_what_cannot_be_a_secret_is_refused_without_showing_it(opened: State, name: str, text: str, reason: str):
    file = write(opened, name, text)
    with pytest.raises(CredentialInvalid) as caught:
        credentials.ensure(opened)
    assert caught.value.what.startswith(f"{file}: ")
    assert reason in caught.value.what
    assert caught.value.exit_code is ExitCode.BLOCKED
    assert not text.strip() or text.strip() not in f"{caught.value.what} {caught.value.hint}"


def test_bytes_that_are_no_text_are_refused(opened: State):
    write(opened, "app_rw_password", "").write_bytes(b"\xff\xfe longenough")
    with pytest.raises(CredentialInvalid, match="it isn't text"):
        credentials.ensure(opened)


def test_a_verifier_fits_its_password_alone(opened: State):
    made = credentials.ensure(opened)
    for role, verifier in made.verifiers().items():
        rounds, salt, stored, server = re.fullmatch(  # type: ignore[union-attr]
            r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)", verifier
        ).groups()
        password = made.role_password(role).reveal().encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), int(rounds))
        client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        assert base64.b64decode(stored) == client
        assert base64.b64decode(server) == hmac.digest(salted, b"Server Key", "sha256")


def test_a_password_that_was_changed_is_noticed(opened: State):
    made = credentials.ensure(opened)
    assert credentials.changed_roles(opened, made) == list(credentials.ROLES)
    credentials.applied(opened, made)
    assert credentials.changed_roles(opened, made) == []
    write(opened, "app_ro_password", "").unlink()
    assert credentials.changed_roles(opened, credentials.ensure(opened)) == ["app_ro"]


def test_the_record_of_what_was_applied_tells_no_secret(opened: State):
    made = credentials.ensure(opened)
    credentials.applied(opened, made)
    record = (opened.folder / "applied.json").read_text()
    assert not [text for text in made.values() if text in record or hashlib.sha256(text.encode()).hexdigest() in record]


def test_the_statements_hold_verifiers_and_no_password(opened: State):
    made = credentials.ensure(opened)
    sql = credentials.statements(made, ["app_rw", "pgb_auth"])
    assert re.findall(r"ALTER ROLE (\w+) PASSWORD 'SCRAM-SHA-256\$", sql) == ["app_rw", "pgb_auth"]
    assert not [text for text in made.values() if text in sql]


class Notes(ui.Silent):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        """Keep one line."""
        self.lines.append(text)


@pytest.fixture
def told() -> Iterator[list[str]]:
    notes = Notes()
    ui.use(notes)
    yield notes.lines
    ui.use(ui.Silent())


@pytest.fixture
def prod(tmp_path: Path) -> State:
    return state.opened(settings.read("prod", {"OPENTR_ENV_FILE": "none", "OPENTR_STATE_DIR": str(tmp_path)}))


def test_a_passphrase_that_is_not_the_first_one_is_refused(prod: State) -> None:
    """Nothing may begin to encrypt with another one: what there is could never be read again."""
    first = credentials.ensure(prod)
    file = write(prod, credentials.PASSPHRASE, "another-passphrase-than-before\n")
    with pytest.raises(PassphraseChanged) as caught:
        credentials.ensure(prod)
    assert caught.value.hint.startswith("put the file back from your copy")
    write(prod, credentials.CIPHER, credentials.cipher(first))
    with pytest.raises(PassphraseChanged) as caught:
        credentials.ensure(prod)
    assert caught.value.hint.startswith("remove the file")
    assert caught.value.exit_code is ExitCode.BLOCKED
    assert first[credentials.PASSPHRASE].reveal() not in f"{caught.value.what} {caught.value.hint}"
    file.unlink()
    assert credentials.ensure(prod) == first


def test_a_passphrase_that_was_removed_is_never_made_again(prod: State) -> None:
    first = credentials.ensure(prod)
    file = prod.folder / "secrets" / credentials.PASSPHRASE
    file.unlink()
    for other in (None, "[global]\nrepo1-cipher-pass=another-passphrase-than-before\n", "", "\0"):
        if other is not None:
            write(prod, credentials.CIPHER, other)
        with pytest.raises(PassphraseLost) as caught:
            credentials.ensure(prod)
        assert str(file) in caught.value.what
        assert not file.exists()
    write(prod, credentials.PASSPHRASE, first[credentials.PASSPHRASE].reveal() + "\n")
    assert credentials.ensure(prod) == first


def test_a_passphrase_that_was_removed_comes_back_from_where_pgbackrest_reads_it(prod: State, told: list[str]) -> None:
    first = credentials.ensure(prod)
    write(prod, credentials.CIPHER, credentials.cipher(first))
    write(prod, credentials.PASSPHRASE, "").unlink()
    assert credentials.ensure(prod) == first
    assert told == [
        "secrets/backup_passphrase was gone; it is there again, from secrets/pgbackrest_cipher; keep a copy elsewhere"
    ]
    assert credentials.ensure(prod) == first
    assert len(told) == 1


def test_without_any_record_a_passphrase_is_not_made_where_services_ran(prod: State) -> None:
    credentials.applied(prod, credentials.ensure(prod))
    prod.remove("passphrase")
    write(prod, credentials.PASSPHRASE, "").unlink()
    with pytest.raises(PassphraseLost):
        credentials.ensure(prod)


def test_without_any_record_a_passphrase_comes_back_from_where_pgbackrest_reads_it(prod: State) -> None:
    """Made anew, it would be written over the only copy."""
    first = credentials.ensure(prod)
    write(prod, credentials.CIPHER, credentials.cipher(first))
    prod.remove("passphrase")
    write(prod, credentials.PASSPHRASE, "").unlink()
    assert credentials.ensure(prod) == first


def test_in_dev_which_has_no_repository_all_secrets_can_be_made_anew(opened: State) -> None:
    first = credentials.ensure(opened)
    for name in credentials.NAMES:
        write(opened, name, "").unlink()
    second = credentials.ensure(opened)
    assert not [name for name in credentials.NAMES if first[name] == second[name]]


def test_what_a_secret_made_anew_means_for_people_is_told(opened: State, told: list[str]) -> None:
    credentials.applied(opened, credentials.ensure(opened))
    assert told == []
    for name in ("jwt_secret", "admin_password", "redis_password"):
        write(opened, name, "").unlink()
    credentials.ensure(opened)
    assert [line.split(" ")[0] for line in told] == ["secrets/jwt_secret", "secrets/admin_password"]
    assert "everybody has to log in again" in told[0]
    assert "stays as it was" in told[1]
