"""Listing times: `upload_time` and `created_at` of a task are NOT NULL, so that a page of a listing has one end.

Revision ID: 0009
Revises: 0008

SET NOT NULL needs no scan, because 0008 has validated a check that says the same; the check goes then. The lock is held
for an instant. The previous release never writes a null there: it leaves the columns to their defaults.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

COLUMNS = (("media_file", "upload_time"), ("task", "created_at"))


def upgrade() -> None:
    """The column's own NOT NULL takes the check's place."""
    for table, column in COLUMNS:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")
        op.execute(
            "-- squawk-ignore ban-drop-constraint\n"  # the column's NOT NULL says the same now
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_check"
        )


def downgrade() -> None:
    """Back to the check, which holds because the column did."""
    for table, column in COLUMNS:
        op.execute(
            f"ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL,"
            f" ADD CONSTRAINT {table}_{column}_check CHECK ({column} IS NOT NULL)"
        )
