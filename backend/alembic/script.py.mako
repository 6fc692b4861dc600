"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

Say here what it changes, which locks it takes and for how long. The budget for a lock is 2 s an attempt:
- a new column: nullable or with a constant default; no rewrite of a table (no type change, no stored generated column)
- an index on an existing table: app.db.online.create_index (CONCURRENTLY), in a revision of its own
- a check or a key on an existing table: NOT VALID here, VALIDATE CONSTRAINT in the next revision
- NOT NULL on an existing column: by way of a validated check, as 0007 to 0009 do
- rows to change: few at once; many in batches, in a task of their own, not here
- the previous release still runs on it: expand now, contract in a later release
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

oldest_release = ${repr(oldest_release)}


def upgrade() -> None:
    """Say what it does to rows."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Say what is lost."""
    ${downgrades if downgrades else "pass"}
