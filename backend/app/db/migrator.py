"""How a migration meets a running database: alone, with a short patience for locks, and naming who is in its way.

env.py runs every online Alembic command through `migrate_under_budget`, so plain `alembic upgrade head` is as careful
as `./opentr.sh db migrate`. Sources: shared design §5; field notes, Alembic.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from app.db import chain, errors
from app.db.connect import describe, direct, direct_engine, interruptible, translated
from app.db.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection

APPLICATION = "opentr migrator"
LOCK_KEY = 6_470_217_032_201_001
"""The advisory lock of migrators; advisory locks are a database's own."""

OWNER = "app_owner"
OUT_OF_PATIENCE = frozenset({"55P03", "40P01"})
"""lock_not_available (the lock timeout) and deadlock_detected: worth another attempt."""

WATCH_SECONDS = 0.1
PATIENCE_SECONDS = 3.0
REMINDER_SECONDS = 30.0


@dataclass(frozen=True)
class Budget:
    """The patience of a migration: milliseconds for each lock, for each statement, and how often it may try."""

    lock_timeout_ms: int = 2_000
    statement_timeout_ms: int = 600_000
    attempts: int = 20
    longest_pause_s: float = 5.0

    def settings(self, role: str | None) -> dict[str, str]:
        """The server settings that a migration's connection starts with."""
        limits = {
            "lock_timeout": f"{self.lock_timeout_ms}ms",
            "statement_timeout": f"{self.statement_timeout_ms}ms",
            "idle_in_transaction_session_timeout": f"{self.statement_timeout_ms}ms",
            "client_connection_check_interval": "1s",  # a killed migrator's statement ends with it
        }
        return limits | ({"role": role} if role else {})

    def pause_s(self, attempt: int) -> float:
        """Seconds before the next attempt: doubling, at most `longest_pause_s`, with full jitter."""
        return random.uniform(0.1, min(self.longest_pause_s, 0.25 * 2**attempt))  # noqa: S311 - no secret


def migrate_under_budget(
    url: URL, step: Callable[[Connection], None], budget: Budget, say: Callable[[str], None], *, role: str | None = None
) -> None:
    """Runs `step` (as `role`, if given) on a fresh connection until no lock takes longer than the budget allows.

    Each attempt begins where the last committed revision ended, so `step` must ask the database where it stands.
    Raises `MigratorBusy` when another migrator is at work, `LockBudgetSpent` after the last attempt, and
    `MigrationFailed` for every other refusal of the server; the last two say which revision the database has reached.
    """
    with alone(url) as lock:
        for attempt in range(1, budget.attempts + 1):
            lock.exec_driver_sql("SELECT 1")  # it is still ours
            with watched(url, say) as watch:
                failure = _once(url, step, budget.settings(role), watch)
            if failure is None:
                return
            _give_up_or_pause(url, failure, watch.blockers, (attempt, budget), say)


def _give_up_or_pause(
    url: URL, error: DBAPIError, blockers: list[str], at: tuple[int, Budget], say: Callable[[str], None]
) -> None:
    attempt, budget = at
    if getattr(error.orig, "pgcode", None) not in OUT_OF_PATIENCE:
        in_the_way = f"; in its way: {_named(blockers)}" if blockers else ""
        raise errors.MigrationFailed(reached(url), _reason(error) + in_the_way) from error
    if attempt == budget.attempts:
        raise errors.LockBudgetSpent(attempt, blockers, reached(url)) from error
    pause = budget.pause_s(attempt)
    say(f"lock not granted, attempt {attempt} of {budget.attempts}; held by {_named(blockers)}; again in {pause:.1f} s")
    threading.Event().wait(pause)


def _reason(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())


def reached(url: URL) -> str:
    """The revision that a fresh connection sees; `none` for a database that has had none."""
    with direct(url, APPLICATION) as connection:
        return ", ".join(chain.stated_versions(connection) or []) or "none"


def _named(blockers: list[str]) -> str:
    return "; ".join(blockers) or "a session that has gone"


def _once(
    url: URL, step: Callable[[Connection], None], settings: dict[str, str], watch: BlockerWatch
) -> DBAPIError | None:
    """One attempt on a connection of its own; returns the server's refusal, if it refused."""
    engine = direct_engine(url, application_name=APPLICATION, settings=settings)
    try:
        with translated(url):
            connection = interruptible(engine.connect)
        with connection:
            driver: Any = connection.connection.driver_connection
            watch.follow(driver.info.backend_pid)
            try:
                interruptible(lambda: step(connection), cancel=driver.cancel)
            except DBAPIError as error:
                return error
        return None
    finally:
        engine.dispose()


def acting_role(url: URL) -> str | None:
    """The role that new objects must belong to: app_owner where the database is app_owner's, else whoever connects.

    Raises `RightsMissing` when the connected role may not act as app_owner.
    """
    with direct(url, APPLICATION) as connection:
        owner, user, may = connection.exec_driver_sql(
            "SELECT pg_get_userbyid(datdba), session_user, pg_has_role(session_user, datdba, 'MEMBER')"
            " FROM pg_database WHERE datname = current_database()"
        ).one()
    if owner != OWNER:
        return None
    if not may:
        raise errors.RightsMissing(
            user,
            f"change the schema: it isn't a member of {OWNER}",
            "connect as app_migrator: MIGRATOR_DATABASE_URL or --dsn",
        )
    return OWNER


@contextmanager
def alone(url: URL) -> Iterator[Connection]:
    """Holds the migrators' lock on a connection of its own; a lock on Alembic's connection would undo its commits."""
    with direct(url, f"{APPLICATION} (lock)", {"idle_session_timeout": "0"}) as connection:
        if connection.exec_driver_sql("SELECT current_setting('transaction_read_only')").scalar_one() == "on":
            raise errors.ReadOnly(describe(url))
        if not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%(key)s)", {"key": LOCK_KEY}).scalar_one():
            holder = connection.exec_driver_sql(query("lock_holder"), {"key": LOCK_KEY}).scalar()
            raise errors.MigratorBusy(holder or f"on {describe(url)}")
        yield connection


class BlockerWatch:
    """Looks again and again who blocks one session, because after a lock timeout it can't be asked any more."""

    def __init__(self, connection: Connection, say: Callable[[str], None]) -> None:
        self._say = say
        self._due = 0.0
        self.blockers: list[str] = []
        self._connection = connection
        self._pid = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="blocker watch", daemon=True)

    def follow(self, pid: int) -> None:
        """Starts watching the session with this backend pid."""
        self._pid = pid
        self._due = time.monotonic() + PATIENCE_SECONDS
        self._thread.start()

    def close(self) -> None:
        """Stops watching."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            try:
                found = list(self._connection.exec_driver_sql(query("blockers"), {"pid": self._pid}).scalars())
            except DBAPIError as error:
                self.blockers = [f"(the watching connection broke: {str(error.orig).strip()})"]
                return
            self.blockers = found or self.blockers
            self._tell(found)

    def _tell(self, found: list[str]) -> None:
        """Says who is in the way when that lasts longer than a lock's budget, and again twice a minute."""
        now = time.monotonic()
        if not found:
            self._due = now + PATIENCE_SECONDS
        elif now >= self._due:
            self._due = now + REMINDER_SECONDS
            self._say(f"waiting for {_named(found)}")


@contextmanager
def watched(url: URL, say: Callable[[str], None]) -> Iterator[BlockerWatch]:
    """A watch on a connection of its own, as the role that logged in: app_owner may not read others' queries."""
    with direct(url, f"{APPLICATION} (watch)", {"role": "none"}) as connection:
        watch = BlockerWatch(connection, say)
        try:
            yield watch
        finally:
            watch.close()
