from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import bcrypt
import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.security import (
    get_password_hash,
    make_token,
    needs_rehash,
    read_token,
    verify_login,
    verify_password,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _bcrypt(password: bytes, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4, b"2b")).replace(b"$2b$", b"$" + prefix + b"$").decode()


def test_a_new_hash_is_argon2id_and_never_the_same_twice() -> None:
    first, second = get_password_hash("secret"), get_password_hash("secret")
    assert first.startswith("$argon2id$")
    assert first != second
    assert len(first) <= 255, "the column's length"
    assert verify_password("secret", first)
    assert not verify_password("Secret", first)
    assert not needs_rehash(first)


@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
def test_hashes_of_older_instances_are_accepted_and_to_be_replaced(prefix: bytes) -> None:
    old = _bcrypt(b"secret", prefix)
    assert verify_password("secret", old)
    assert not verify_password("other", old)
    assert needs_rehash(old)


def test_a_hash_with_parameters_of_the_past_is_to_be_replaced() -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("secret")
    assert verify_password("secret", weak)
    assert needs_rehash(weak)


@pytest.mark.parametrize("password", ["p" * 100_000, "with\0nul", "", "ä" * 80, "\ud800 lone surrogate"])
def test_unusual_passwords_work(password: str) -> None:
    hashed = get_password_hash(password)
    assert verify_password(password, hashed)
    assert not verify_password(password + "x", hashed)


def test_bcrypt_takes_72_bytes_as_it_did_when_the_hash_was_made() -> None:
    old = _bcrypt(b"p" * 72)
    assert verify_password("p" * 100, old)
    assert not verify_password("p" * 71, old)


@pytest.mark.parametrize(
    "garbage",
    [
        *("", "secret", "\0", "\ud800", "$2b$", "$2b$04$short"),
        *(f"$2b${cost}${'a' * 53}" for cost in ("99", "31", "xx", "-1")),
        *("$2b$04$" + "ä" * 53, "$argon2id$", "$argon2id$v=19$m=65536,t=3,p=4$"),
        "$argon2id$v=19$m=1,t=1,p=1$AAAAAAAA$AAAA",
    ],
)
def test_what_is_no_hash_is_no_match(garbage: str) -> None:
    assert not verify_password("secret", garbage)
    assert needs_rehash(garbage)


def test_a_hash_that_would_take_hours_to_verify_is_no_match() -> None:
    forged = _bcrypt(b"secret").replace("$04$", "$30$")
    assert not verify_password("secret", forged)


@given(
    st.text(), st.text() | st.builds("$2b$04${}".format, st.text()) | st.builds("$argon2id$v=19${}".format, st.text())
)
def test_verifying_never_raises(password: str, hashed: str) -> None:
    assert verify_password(password, hashed) is False
    assert needs_rehash(hashed) is True


@settings(max_examples=4, deadline=None)
@given(st.text(), st.text())
def test_a_password_verifies_and_another_does_not(password: str, other: str) -> None:
    hashed = get_password_hash(password)
    assert verify_password(password, hashed)
    assert verify_password(other, hashed) == (password == other)


def test_a_refused_login_takes_as_long_whatever_hash_it_met() -> None:
    bcrypt_hash = bcrypt.hashpw(b"right", bcrypt.gensalt(12)).decode()
    hashes = [None, "!", get_password_hash("right"), bcrypt_hash]
    times = [min(_seconds_of_refusal(hashed) for _ in range(3)) for hashed in hashes]
    assert max(times) < 1.4 * min(times)


def _seconds_of_refusal(hashed: str | None) -> float:
    began = time.process_time()
    assert not verify_login("wrong", hashed)
    return time.process_time() - began


@pytest.mark.parametrize(
    "make", [get_password_hash, lambda word: bcrypt.hashpw(word.encode(), bcrypt.gensalt(4)).decode()]
)
def test_a_right_password_logs_in(make: Callable[[str], str]) -> None:
    assert verify_login("right", make("right"))


def test_a_token_holds_for_its_user_its_key_and_its_time() -> None:
    key = "k" * 32
    assert read_token(make_token(7, key, timedelta(minutes=1)), key) == 7
    assert read_token(make_token(7, key, timedelta(minutes=1)), "x" * 32) is None
    assert read_token(make_token(7, key, timedelta(minutes=-1)), key) is None
    assert read_token("", key) is None
