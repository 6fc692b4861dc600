"""Updated at: the database itself keeps `updated_at`, whoever changes the row.

Revision ID: 0005
Revises: 0004

CREATE TRIGGER takes SHARE ROW EXCLUSIVE for an instant: reads go on, writers wait for at most the lock budget.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

TABLES = ('"user"', "task")


def upgrade() -> None:
    """A change that changes nothing doesn't count.

    Tasks without a time of creation get one before the trigger is there, which would take it for a change by a user.
    """
    op.execute(
        "UPDATE task SET created_at = coalesce(updated_at, completed_at, CURRENT_TIMESTAMP) WHERE created_at IS NULL"
    )
    op.execute(
        """
        CREATE FUNCTION touch_updated_at() RETURNS trigger
        LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$
        """
    )
    op.execute("COMMENT ON FUNCTION touch_updated_at() IS 'Keeps updated_at at the time of the last change.'")
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table.strip(chr(34))}_touch_updated_at BEFORE UPDATE ON {table}"
            " FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at()"
        )


def downgrade() -> None:
    """The times stay as they are."""
    for table in TABLES:
        op.execute(f"DROP TRIGGER {table.strip(chr(34))}_touch_updated_at ON {table}")
    op.execute("DROP FUNCTION touch_updated_at()")
