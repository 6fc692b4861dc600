"""Schema changes beside running traffic, for migrations: what CONCURRENTLY needs, which can't run in a transaction.

`create_index` and `drop_index` may be run again after a failure in the middle: what is built stays, what is INVALID
goes. The lock timeout is off for them (they wait for old snapshots, without anybody queueing behind them); the bound is
a statement timeout. Source: PostgreSQL, "Building Indexes Concurrently"; field notes, Alembic.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from alembic import context, op
from sqlalchemy.exc import DBAPIError

from app.core.config import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD_TIMEOUT = "2h"


def create_index(name: str, definition: str) -> None:
    """Builds the index `name` on `definition` (`table (columns)`, `table USING gin (...)`), if none is there."""
    with _alone():
        if _validity(name) is False:
            op.execute(f"DROP INDEX CONCURRENTLY {name}")
        if _validity(name):
            return
        try:
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON {definition}")
        except DBAPIError:
            with suppress(DBAPIError):  # the next run drops it first in any case; what is raised is why it failed
                _drop_leftover(name)
            raise


def drop_index(name: str) -> None:
    """Drops the index without blocking anybody; one that isn't there is no error."""
    with _alone():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


@contextmanager
def _alone() -> Iterator[None]:
    with op.get_context().autocommit_block():
        op.execute(f"SET statement_timeout = '{BUILD_TIMEOUT}'")
        op.execute("SET lock_timeout = 0")
        yield
        # After a failure the connection isn't used again. A script has no start-up packet to go back to.
        lock, statement = f"{settings.LOCK_TIMEOUT_MS}ms", f"{settings.MIGRATION_STATEMENT_TIMEOUT_MS}ms"
        offline = context.is_offline_mode()
        op.execute(f"SET lock_timeout = '{lock}'" if offline else "RESET lock_timeout")
        op.execute(f"SET statement_timeout = '{statement}'" if offline else "RESET statement_timeout")


def _validity(name: str) -> bool | None:
    """Whether the index is valid; None when there is none, or when SQL is only printed."""
    if context.is_offline_mode():
        return None
    found = op.get_bind().exec_driver_sql(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%(name)s)", {"name": f"public.{name}"}
    )
    validity: bool | None = found.scalar_one_or_none()
    return validity


def _drop_leftover(name: str) -> None:
    """Drops what a failed build left, if nobody is in the way."""
    if _validity(name) is False:
        op.execute("SET lock_timeout = '2s'")
        op.execute(f"DROP INDEX CONCURRENTLY {name}")
