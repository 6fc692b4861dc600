from __future__ import annotations

from typing import Any

import pytest
from pydantic import MISSING, BaseModel, ValidationError

from app.models import User
from app.schemas.user import UserCreate, UserRead, UserRegister, UserSelfUpdate, UserUpdate

SOMEONE: dict[str, Any] = {"email": "ann@example.com", "full_name": "Ann", "password": "12345678"}
HASH = "$2b$12$0123456789"


def wrong_fields(schema: type[BaseModel], **fields: object) -> set[str]:
    with pytest.raises(ValidationError) as caught:
        schema(**fields)
    return {str(error["loc"][0]) for error in caught.value.errors()}


def test_a_user_never_shows_a_password():
    row = User(id=1, role=None, is_active=True, is_superuser=False, email="ann@example.com", full_name="Ann")
    row.hashed_password = HASH
    read = UserRead.model_validate(row)
    assert "$2b$" not in read.model_dump_json() + repr(read)
    assert set(read.model_dump()) == {
        "id", "email", "full_name", "role", "is_active", "is_superuser", "created_at", "updated_at",
    }  # fmt: skip


@pytest.mark.parametrize(
    "email", ["", "ann", "@", "ann@", "@example.com", "a b@example.com", "a@b@c", "ann@example.com\n"]
)
def test_what_cannot_be_an_address_is_refused(email: str):
    assert wrong_fields(UserRegister, **SOMEONE | {"email": email}) == {"email"}
    assert wrong_fields(UserCreate, **SOMEONE | {"email": email}) == {"email"}
    assert wrong_fields(UserUpdate, email=email) == {"email"}


def test_an_old_address_that_is_none_is_still_read():
    row = User(id=1, email="admin", full_name="", is_active=True, is_superuser=True)
    assert UserRead.model_validate(row).email == "admin"


def test_an_address_of_any_script_is_taken_as_it_is():
    assert UserRegister(**SOMEONE | {"email": "Jürgen@bücher.example"}).email == "Jürgen@bücher.example"


@pytest.mark.parametrize(
    ("password", "fits"), [("1234567", False), ("éééééééé", True), ("a" * 1024, True), ("a" * 1025, False)]
)
def test_a_password_has_8_to_1024_characters(password: str, *, fits: bool):
    if fits:
        UserRegister(**SOMEONE | {"password": password})
        UserSelfUpdate(password=password)
    else:
        assert wrong_fields(UserRegister, **SOMEONE | {"password": password}) == {"password"}
        assert wrong_fields(UserSelfUpdate, password=password) == {"password"}


def test_an_error_does_not_repeat_the_password():
    with pytest.raises(ValidationError) as caught:
        UserRegister(**SOMEONE | {"password": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_nobody_registers_as_an_administrator():
    new = UserRegister(**SOMEONE, is_superuser=True, role="admin", id=1)
    assert set(new.model_dump()) == {"email", "full_name", "password"}


def test_nobody_makes_himself_an_administrator():
    assert UserSelfUpdate(is_superuser=True, role="admin").model_dump() == {}


def test_an_update_holds_what_was_sent_and_nothing_else():
    update = UserUpdate(role=None, is_active=False)
    assert update.model_dump() == {"role": None, "is_active": False}
    assert update.email is MISSING


@pytest.mark.parametrize("field", ["email", "full_name", "password", "is_active", "is_superuser"])
def test_an_update_sets_no_null_where_the_column_has_none(field: str):
    assert wrong_fields(UserUpdate, **{field: None}) == {field}
