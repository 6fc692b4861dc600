"""Search: full-text indexes over file names, titles, summaries and what was said.

Revision ID: 0010
Revises: 0009

Expression indexes, built CONCURRENTLY: a stored generated column would rewrite the tables under an exclusive lock. The
expressions are those of app.models.media; a search finds the index by writing them the same way.
"""

from app.db.online import create_index, drop_index

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

oldest_release = "0.1.0"

INDEXES = {
    "media_file_search_idx": (
        "media_file USING gin (to_tsvector('simple', coalesce(title, '') || ' '"
        " || translate(filename, '._-', '   ') || ' ' || coalesce(summary, '')))"
    ),
    "transcript_segment_search_idx": "transcript_segment USING gin (to_tsvector('simple', text))",
}


def upgrade() -> None:
    """One after the other; a failure leaves what is built, and the next run goes on from there."""
    for name, definition in INDEXES.items():
        create_index(name, definition)


def downgrade() -> None:
    """In the opposite order."""
    for name in reversed(INDEXES):
        drop_index(name)
