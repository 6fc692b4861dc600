"""Task unfinished: an index of the tasks that are still to be done, oldest first.

Revision ID: 0012
Revises: 0011

Built CONCURRENTLY. It holds a few rows among the millions that are done: workers look for stranded work in it twice a
minute.
"""

from app.db.online import create_index, drop_index

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

NAME = "task_unfinished_idx"


def upgrade() -> None:
    """Reads and writes go on meanwhile."""
    create_index(NAME, "task (created_at) WHERE status::text IN ('pending', 'in_progress')")


def downgrade() -> None:
    """The search for stranded work reads all tasks again."""
    drop_index(NAME)
