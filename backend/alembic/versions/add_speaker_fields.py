"""Add speaker fields: a display name, a uuid and whether a person has confirmed the speaker.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"


def upgrade() -> None:
    """Existing speakers get a fresh uuid each and count as not verified."""
    op.execute(
        "ALTER TABLE speaker ADD COLUMN display_name varchar(255), ADD COLUMN uuid varchar(255),"
        " ADD COLUMN verified boolean NOT NULL DEFAULT false"
    )
    op.execute("UPDATE speaker SET uuid = gen_random_uuid()::text")
    op.execute("ALTER TABLE speaker ALTER COLUMN uuid SET NOT NULL, ADD CONSTRAINT speaker_uuid_key UNIQUE (uuid)")


def downgrade() -> None:
    """The three columns' contents go."""
    op.execute("ALTER TABLE speaker DROP COLUMN display_name, DROP COLUMN uuid, DROP COLUMN verified")
