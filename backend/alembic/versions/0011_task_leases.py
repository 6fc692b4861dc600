"""Task leases: who works on a task and until when, how often it was begun, and when its message was last sent.

Revision ID: 0011
Revises: 0010

Columns that are null or have a constant default: no row is written, and the lock is held for an instant. The previous
release names the columns that it writes, and has no task of its own that needs a lease.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

COLUMNS = {
    "attempts": "integer NOT NULL DEFAULT 0",
    "lease_holder": "varchar(255)",
    "lease_expires_at": "timestamp with time zone",
    "sent_at": "timestamp with time zone",
}


def upgrade() -> None:
    """One statement, so that the lock is taken once."""
    added = ", ".join(f"ADD COLUMN {name} {kind}" for name, kind in COLUMNS.items())
    op.execute(
        "-- squawk-ignore prefer-bigint-over-int\n"  # attempts are two or three
        f"ALTER TABLE task {added}"
    )


def downgrade() -> None:
    """What is in progress is then found by nobody, as before."""
    dropped = ", ".join(f"DROP COLUMN {name}" for name in reversed(COLUMNS))
    op.execute(f"ALTER TABLE task {dropped}")
