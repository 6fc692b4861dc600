"""Schema release: the schema says which releases may run on it.

Revision ID: 0003
Revises: 0002

A new, empty table: no existing row is touched and no lock is taken that anyone could wait for. From here on env.py
keeps its row at the `oldest_release` of the revision that the database stands at, in the revision's own transaction.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"


def upgrade() -> None:
    """One row, ever."""
    op.execute(
        """
        CREATE TABLE schema_release (
            id boolean PRIMARY KEY DEFAULT true,
            oldest_release varchar(32) NOT NULL,
            CONSTRAINT schema_release_id_check CHECK (id)
        )
        """
    )
    op.execute(
        "COMMENT ON TABLE schema_release IS"
        " 'One row: the oldest release that works on this schema. Migrations keep it.'"
    )
    op.execute(f"INSERT INTO schema_release (oldest_release) VALUES ('{oldest_release}')")


def downgrade() -> None:
    """Releases no longer check."""
    op.execute("DROP TABLE schema_release")
