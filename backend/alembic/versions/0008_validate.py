"""Validate: existing rows are read against the keys and checks of 0006 and 0007.

Revision ID: 0008
Revises: 0007

VALIDATE takes SHARE UPDATE EXCLUSIVE: reads and writes go on. Rows without a time, which listings can't sort, get one
first: the best that is known about them.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"
repairs = {"media_file_upload_time_check", "task_created_at_check"}

VALIDATED = (
    ("transcript_segment", "transcript_segment_media_file_id_fkey"),
    ("transcript_segment", "transcript_segment_speaker_id_fkey"),
    ("transcript_segment", "transcript_segment_end_time_check"),
    ("comment", "comment_media_file_id_fkey"),
    ("task", "task_media_file_id_fkey"),
    ("task", "task_status_check"),
    ("task", "task_progress_check"),
    ("task", "task_created_at_check"),
    ("analytics", "analytics_media_file_id_fkey"),
    ("media_file", "media_file_status_check"),
    ("media_file", "media_file_upload_time_check"),
)


def upgrade() -> None:
    """Fails, and changes nothing, where a row breaks a rule."""
    op.execute(
        "UPDATE media_file"
        " SET upload_time = coalesce(completed_at, last_modified_date, creation_date, CURRENT_TIMESTAMP)"
        " WHERE upload_time IS NULL"
    )
    op.execute(
        "UPDATE task SET created_at = coalesce(updated_at, completed_at, CURRENT_TIMESTAMP) WHERE created_at IS NULL"
    )
    for table, name in VALIDATED:
        op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def downgrade() -> None:
    """Marks them as not validated again, as 0007 left them; the repaired times stay."""
    for table, name in VALIDATED:
        op.execute(
            f"""
            DO $$
            DECLARE
                rule text;
            BEGIN
                SELECT pg_get_constraintdef(oid) INTO STRICT rule FROM pg_constraint
                WHERE conname = '{name}' AND conrelid = '{table}'::regclass;
                EXECUTE 'ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} ' || rule || ' NOT VALID';
            END
            $$
            """
        )
