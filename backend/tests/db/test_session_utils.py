from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, delete, func, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidRequestError, OperationalError, PendingRollbackError
from sqlalchemy.orm import Session, object_session
from sqlalchemy.pool import QueuePool

from app.db import connect
from app.db.base import SessionLocal
from app.db.session_utils import get_refreshed_object, refresh_session_object, session_scope
from app.models.media import Tag

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL


@pytest.fixture(autouse=True)
def no_connection_stays_checked_out(application: Engine) -> Iterator[None]:
    yield
    assert isinstance(application.pool, QueuePool)
    assert application.pool.checkedout() == 0


@pytest.fixture
def tag_id(application: Engine) -> int:
    """The id of a stored tag named `stored`."""
    with Session(application) as session, session.begin():
        tag = Tag(name="stored")
        session.add(tag)
        session.flush()
        return tag.id


@pytest.fixture
def db(application: Engine) -> Iterator[Session]:
    with Session(application) as session:
        yield session


def _names(engine: Engine) -> set[str]:
    with Session(engine) as session:
        return set(session.scalars(select(Tag.name)))


def _rename(engine: Engine, tag_id: int, name: str) -> None:
    with Session(engine) as session, session.begin():
        session.execute(update(Tag).where(Tag.id == tag_id).values(name=name))


def _delete(engine: Engine, tag_id: int) -> None:
    with Session(engine) as session, session.begin():
        session.execute(delete(Tag).where(Tag.id == tag_id))


@pytest.fixture
def kill(database: URL) -> Iterator[Callable[[Session], None]]:
    """Ends the server process that serves a session, and returns when it is gone."""
    administrator = connect.engine_for(database, application_name="tests")

    def end(session: Session) -> None:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with administrator.connect() as connection:
            assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})

    yield end
    administrator.dispose()


# session_scope


def test_a_scope_commits_and_closes(application: Engine) -> None:
    with session_scope() as session:
        tag = Tag(name="scoped")
        session.add(tag)
    assert "scoped" in _names(application)
    assert object_session(tag) is None
    assert not session.in_transaction()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), SystemExit(1)])
def test_a_scope_rolls_back_and_re_raises(application: Engine, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, session_scope() as session:  # noqa: PT012 - the scope is the subject
        session.add(Tag(name="scoped"))
        session.flush()
        raise error
    assert raised.value is error
    assert not session.in_transaction()
    assert "scoped" not in _names(application)


def test_a_scope_whose_commit_fails_rolls_back_and_raises(application: Engine, tag_id: int) -> None:
    assert tag_id
    with pytest.raises(IntegrityError), session_scope() as session:  # noqa: PT012
        session.add(Tag(name="first"))
        session.flush()
        session.add(Tag(name="stored"))
    assert not session.in_transaction()
    assert "first" not in _names(application)


def test_a_scope_whose_connection_dies_raises_what_went_wrong_first(kill: Callable[[Session], None]) -> None:
    with pytest.raises(ZeroDivisionError), session_scope() as session:  # noqa: PT012
        kill(session)
        raise ZeroDivisionError
    assert not session.in_transaction()


def test_a_scope_after_a_killed_connection_works(application: Engine, kill: Callable[[Session], None]) -> None:
    with pytest.raises(DBAPIError), session_scope() as session:  # noqa: PT012
        kill(session)
        session.execute(text("SELECT 1"))
    with session_scope() as session:
        session.add(Tag(name="again"))
    assert "again" in _names(application)


# get_refreshed_object


def test_a_refreshed_object_is_what_the_database_has_now(application: Engine, db: Session, tag_id: int) -> None:
    db.connection(execution_options={"isolation_level": "READ COMMITTED"})
    tag = get_refreshed_object(db, Tag, tag_id)
    assert tag is not None
    _rename(application, tag_id, "renamed")
    assert tag.name == "stored"
    assert get_refreshed_object(db, Tag, tag_id) is tag
    assert tag.name == "renamed"


def test_a_refreshed_object_that_is_gone_is_none(application: Engine, db: Session, tag_id: int) -> None:
    assert get_refreshed_object(db, Tag, tag_id)
    _delete(application, tag_id)
    assert get_refreshed_object(db, Tag, tag_id) is None
    assert get_refreshed_object(db, Tag, 0) is None


@pytest.mark.filterwarnings("error")
def test_no_id_is_no_object(db: Session) -> None:
    assert get_refreshed_object(db, Tag, None) is None


def test_changes_of_the_session_are_flushed_before_refreshing(db: Session, tag_id: int) -> None:
    tag = db.get_one(Tag, tag_id)
    tag.name = "mine"
    assert get_refreshed_object(db, Tag, tag_id) is tag
    assert tag.name == "mine"
    assert db.scalar(select(Tag.name).where(Tag.id == tag_id)) == "mine"


def test_an_error_of_the_callers_own_changes_is_raised(db: Session, tag_id: int) -> None:
    db.add(Tag(name="stored"))
    with pytest.raises(IntegrityError):
        get_refreshed_object(db, Tag, tag_id)
    db.rollback()


def _fail_a_flush(db: Session) -> None:
    db.add(Tag(name="stored"))
    with pytest.raises(IntegrityError):
        db.flush()
    with pytest.raises(PendingRollbackError):
        db.execute(text("SELECT 1"))


def _abort_the_transaction(db: Session) -> None:
    with pytest.raises(DBAPIError):
        db.execute(text("SELECT 1/0"))


def _close_the_connection(db: Session) -> None:
    raw = db.connection().connection.dbapi_connection
    assert raw is not None
    raw.close()


@pytest.mark.parametrize("breaking", [_fail_a_flush, _abort_the_transaction, _close_the_connection])
def test_with_a_broken_session_the_object_comes_loaded_and_detached(
    db: Session, tag_id: int, breaking: Callable[[Session], None]
) -> None:
    breaking(db)
    tag = get_refreshed_object(db, Tag, tag_id)
    assert tag is not None
    assert object_session(tag) is None
    assert not inspect(tag).unloaded & set(Tag.__mapper__.column_attrs.keys())
    assert (tag.id, tag.name) == (tag_id, "stored")
    assert get_refreshed_object(db, Tag, 0) is None
    db.rollback()


def test_with_a_killed_connection_the_object_comes_all_the_same(
    db: Session, tag_id: int, kill: Callable[[Session], None]
) -> None:
    kill(db)
    tag = get_refreshed_object(db, Tag, tag_id)
    assert tag is not None
    assert (object_session(tag), tag.name) == (None, "stored")


def test_with_a_closed_session_the_object_is_usable(application: Engine, tag_id: int) -> None:
    for_good, closed = Session(application, close_resets_only=False), Session(application)
    for session in (for_good, closed):
        session.execute(text("SELECT 1"))
        session.close()
        tag = get_refreshed_object(session, Tag, tag_id)
        assert tag is not None
        assert tag.name == "stored"
    closed.close()


def test_a_server_that_does_not_answer_is_made_up_for_by_the_applications_own(tag_id: int) -> None:
    nowhere = connect.engine_for(connect.parse_url("postgresql://nobody@127.0.0.1:1/none"), application_name="tests")
    with Session(nowhere) as session:
        tag = get_refreshed_object(session, Tag, tag_id)
    nowhere.dispose()
    assert tag is not None
    assert tag.name == "stored"


def test_a_row_that_no_statement_can_ask_for_raises(db: Session) -> None:
    with pytest.raises(DBAPIError):
        get_refreshed_object(db, Tag, "no number")
    db.rollback()


# refresh_session_object


def test_none_stays_none() -> None:
    assert refresh_session_object(None) == (None, None)


def test_an_attached_object_is_refreshed_in_its_session(application: Engine, db: Session, tag_id: int) -> None:
    tag = db.get_one(Tag, tag_id)
    _rename(application, tag_id, "renamed")
    assert refresh_session_object(tag) == (tag, db)
    assert tag.name == "renamed"
    assert refresh_session_object(tag, db) == (tag, db)


@pytest.fixture
def detached(application: Engine, tag_id: int) -> Tag:
    with Session(application) as session:
        return session.get_one(Tag, tag_id)


def test_a_detached_object_comes_back_attached(application: Engine, db: Session, detached: Tag) -> None:
    _rename(application, detached.id, "renamed")
    assert refresh_session_object(detached, db) == (detached, db)
    assert object_session(detached) is db
    assert detached.name == "renamed"


def test_a_detached_and_expired_object_comes_back(application: Engine, db: Session, tag_id: int) -> None:
    with Session(application) as session:
        expired = session.get_one(Tag, tag_id)
        session.commit()
    refreshed, _ = refresh_session_object(expired, db)
    assert refreshed is not None
    assert refreshed.name == "stored"


def test_a_detached_object_without_a_session_gets_a_new_one(application: Engine, detached: Tag) -> None:
    refreshed, session = refresh_session_object(detached)
    assert refreshed is detached
    assert session is not None
    assert (session, session.get_bind()) == (object_session(detached), application)
    session.close()


def test_where_the_session_has_the_object_already_that_one_comes(db: Session, detached: Tag) -> None:
    present = db.get_one(Tag, detached.id)
    assert refresh_session_object(detached, db) == (present, db)


def test_an_object_of_another_session_has_its_counterpart(application: Engine, db: Session, tag_id: int) -> None:
    with Session(application) as other:
        theirs = other.get_one(Tag, tag_id)
        ours, session = refresh_session_object(theirs, db)
        assert session is db
        assert ours is not theirs
        assert object_session(theirs) is other
        assert ours in db


def test_unsaved_changes_of_a_detached_object_are_kept(db: Session, detached: Tag) -> None:
    detached.name = "changed"
    refresh_session_object(detached, db)
    assert detached.name == "changed"
    assert db.scalar(select(func.count()).where(Tag.name == "changed")) == 1


def test_a_detached_object_whose_row_is_gone_is_none(application: Engine, db: Session, detached: Tag) -> None:
    _delete(application, detached.id)
    assert refresh_session_object(detached, db) == (None, db)


def test_a_changed_object_whose_row_is_gone_is_none_and_in_no_session(
    application: Engine, db: Session, detached: Tag
) -> None:
    _delete(application, detached.id)
    detached.name = "changed"
    assert refresh_session_object(detached, db) == (None, db)
    assert object_session(detached) is None
    db.commit()


def test_a_changed_object_of_the_session_whose_row_is_gone_leaves_it(
    application: Engine, db: Session, tag_id: int
) -> None:
    tag = db.get_one(Tag, tag_id)
    _delete(application, tag_id)
    tag.name = "changed"
    assert refresh_session_object(tag) == (None, db)
    assert object_session(tag) is None
    db.commit()


def test_an_object_that_was_never_stored_is_refused(db: Session) -> None:
    with pytest.raises(InvalidRequestError, match="this Tag was never stored"):
        refresh_session_object(Tag(name="new"), db)


def test_an_object_of_a_broken_session_gets_a_new_one(db: Session, tag_id: int) -> None:
    tag = db.get_one(Tag, tag_id)
    _fail_a_flush(db)
    refreshed, session = refresh_session_object(tag)
    assert refreshed is not None
    assert session not in (None, db)
    assert refreshed.name == "stored"
    assert session is not None
    session.close()


def test_a_session_is_closed_when_its_object_can_not_be_loaded(application: Engine, detached: Tag) -> None:
    nowhere = connect.engine_for(connect.parse_url("postgresql://nobody@127.0.0.1:1/none"), application_name="tests")
    SessionLocal.configure(bind=nowhere)
    with pytest.raises(OperationalError):
        refresh_session_object(detached)
    SessionLocal.configure(bind=application)
    assert object_session(detached) is None
