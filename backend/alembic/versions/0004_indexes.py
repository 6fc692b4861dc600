"""Indexes: one for every foreign key, and the order that files and tasks are listed in.

Revision ID: 0004
Revises: 0003

Built CONCURRENTLY: reads and writes go on meanwhile. `media_file.user_id` and `task.user_id` are the first column of a
listing's index, `file_tag.media_file_id` and `analytics.media_file_id` that of a unique key.
"""

from app.db.online import create_index, drop_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

INDEXES = {
    "media_file_user_id_upload_time_id_idx": "media_file (user_id, upload_time, id)",
    "task_user_id_created_at_id_idx": "task (user_id, created_at, id)",
    "task_media_file_id_idx": "task (media_file_id)",
    "file_tag_tag_id_idx": "file_tag (tag_id)",
    "speaker_user_id_idx": "speaker (user_id)",
    "transcript_segment_media_file_id_start_time_idx": "transcript_segment (media_file_id, start_time)",
    "transcript_segment_speaker_id_idx": "transcript_segment (speaker_id)",
    "comment_media_file_id_idx": "comment (media_file_id)",
    "comment_user_id_idx": "comment (user_id)",
}


def upgrade() -> None:
    """One after the other; a failure leaves those that are built, and the next run goes on from there."""
    for name, definition in INDEXES.items():
        create_index(name, definition)


def downgrade() -> None:
    """In the opposite order."""
    for name in reversed(INDEXES):
        drop_index(name)
