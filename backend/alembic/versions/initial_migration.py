"""Initial migration: the schema that OpenTranscribe's first instances were made with.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

oldest_release = "0.1.0"


def upgrade() -> None:
    """From an empty database."""
    for statement in TABLES:
        op.execute(statement)
    op.execute("INSERT INTO tag (name) VALUES ('Important'), ('Meeting'), ('Interview'), ('Personal')")


def downgrade() -> None:
    """To an empty database; every row goes."""
    op.execute('DROP TABLE analytics, task, comment, transcript_segment, speaker, file_tag, tag, media_file, "user"')


TABLES = (
    """
    CREATE TABLE "user" (
        id serial PRIMARY KEY,
        email varchar(255) NOT NULL UNIQUE,
        hashed_password varchar(255) NOT NULL,
        full_name varchar(255) NOT NULL,
        is_active boolean NOT NULL DEFAULT true,
        is_superuser boolean NOT NULL DEFAULT false,
        role varchar(50) DEFAULT 'user',
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
        updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE media_file (
        id serial PRIMARY KEY,
        filename varchar(255) NOT NULL,
        storage_path varchar(500) NOT NULL,
        file_size bigint NOT NULL,
        duration double precision,
        upload_time timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
        completed_at timestamp with time zone,
        content_type varchar(100) NOT NULL,
        status varchar(50) DEFAULT 'pending',
        is_public boolean DEFAULT false,
        language varchar(10),
        summary text,
        translated_text text,
        metadata_raw jsonb,
        metadata_important jsonb,
        media_format varchar(50),
        codec varchar(50),
        frame_rate double precision,
        frame_count integer,
        resolution_width integer,
        resolution_height integer,
        aspect_ratio varchar(20),
        audio_channels integer,
        audio_sample_rate integer,
        audio_bit_depth integer,
        creation_date timestamp with time zone,
        last_modified_date timestamp with time zone,
        device_make varchar(100),
        device_model varchar(100),
        title varchar(255),
        author varchar(255),
        description text,
        user_id integer NOT NULL REFERENCES "user" (id)
    )
    """,
    """
    CREATE TABLE tag (
        id serial PRIMARY KEY,
        name varchar(50) NOT NULL UNIQUE,
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE file_tag (
        id serial PRIMARY KEY,
        media_file_id integer NOT NULL REFERENCES media_file (id) ON DELETE CASCADE,
        tag_id integer NOT NULL REFERENCES tag (id) ON DELETE CASCADE,
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
        UNIQUE (media_file_id, tag_id)
    )
    """,
    """
    CREATE TABLE speaker (
        id serial PRIMARY KEY,
        user_id integer NOT NULL REFERENCES "user" (id),
        name varchar(255) NOT NULL,
        embedding_vector jsonb,
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE transcript_segment (
        id serial PRIMARY KEY,
        media_file_id integer NOT NULL REFERENCES media_file (id),
        speaker_id integer REFERENCES speaker (id),
        start_time double precision NOT NULL,
        end_time double precision NOT NULL,
        text text NOT NULL
    )
    """,
    """
    CREATE TABLE comment (
        id serial PRIMARY KEY,
        media_file_id integer NOT NULL REFERENCES media_file (id),
        user_id integer NOT NULL REFERENCES "user" (id),
        text text NOT NULL,
        timestamp double precision,
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE task (
        id varchar(255) PRIMARY KEY,
        user_id integer NOT NULL REFERENCES "user" (id),
        media_file_id integer REFERENCES media_file (id),
        task_type varchar(50) NOT NULL,
        status varchar(50) NOT NULL,
        progress double precision DEFAULT 0.0,
        created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
        updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
        completed_at timestamp with time zone,
        error_message text
    )
    """,
    """
    CREATE TABLE analytics (
        id serial PRIMARY KEY,
        media_file_id integer UNIQUE REFERENCES media_file (id),
        speaker_stats jsonb,
        sentiment jsonb,
        keywords jsonb
    )
    """,
)
