"""Checks: known statuses, times that run forward, progress from 0 to 1, and the times that listings sort by are there.

Revision ID: 0007
Revises: 0006

Added NOT VALID: new and changed rows are held to them at once, existing rows are read by 0008. Before an upgrade
`./opentr.sh db adopt --plan` and `./opentr.sh db migrate --plan` list existing rows that break one.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

CHECKS = {
    ("media_file", "media_file_status_check"): "status::text IN ('pending', 'processing', 'completed', 'error')",
    ("media_file", "media_file_upload_time_check"): "upload_time IS NOT NULL",
    ("task", "task_status_check"): "status::text IN ('pending', 'in_progress', 'completed', 'failed')",
    ("task", "task_progress_check"): "progress >= 0 AND progress <= 1",
    ("task", "task_created_at_check"): "created_at IS NOT NULL",
    ("transcript_segment", "transcript_segment_end_time_check"): "end_time >= start_time",
}


def upgrade() -> None:
    """No row is read."""
    for (table, name), rule in CHECKS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID")


def downgrade() -> None:
    """The rules go; the rows stay."""
    for table, name in reversed(CHECKS):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
