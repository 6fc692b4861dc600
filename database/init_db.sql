-- The whole schema of OpenTranscribe, as a developer reads and resets it. It always equals the head of the migrations
-- in backend/alembic/versions (`./opentr.sh db check` proves it).
--
-- Run it in an empty database that has had roles.sql, as the role app_owner, who is to own everything here:
--     psql -v ON_ERROR_STOP=1 -c 'SET ROLE app_owner' -f init_db.sql opentranscribe
-- Grants aren't written here: they come from app_owner's default privileges, in roles.sql.

-- Users ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION touch_updated_at() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION touch_updated_at() IS 'Keeps updated_at at the time of the last change.';

CREATE TABLE "user" (
    id              serial PRIMARY KEY,
    email           varchar(255) NOT NULL UNIQUE,
    hashed_password varchar(255) NOT NULL,
    full_name       varchar(255) NOT NULL,
    is_active       boolean NOT NULL DEFAULT true,
    is_superuser    boolean NOT NULL DEFAULT false,
    role            varchar(50) DEFAULT 'user',
    created_at      timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    updated_at      timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);
CREATE TRIGGER user_touch_updated_at BEFORE UPDATE ON "user"
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

-- Recordings ----------------------------------------------------------------------------------------------------------

CREATE TABLE media_file (
    id                 serial PRIMARY KEY,
    filename           varchar(255) NOT NULL,
    storage_path       varchar(500) NOT NULL,
    file_size          bigint NOT NULL,
    duration           double precision,
    upload_time        timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    completed_at       timestamp with time zone,
    content_type       varchar(100) NOT NULL,
    status             varchar(50) DEFAULT 'pending',
    is_public          boolean DEFAULT false,
    language           varchar(10),
    summary            text,
    translated_text    text,
    -- what the container and its streams say
    metadata_raw       jsonb,
    metadata_important jsonb,
    media_format       varchar(50),
    codec              varchar(50),
    frame_rate         double precision,
    frame_count        integer,
    resolution_width   integer,
    resolution_height  integer,
    aspect_ratio       varchar(20),
    audio_channels     integer,
    audio_sample_rate  integer,
    audio_bit_depth    integer,
    creation_date      timestamp with time zone,
    last_modified_date timestamp with time zone,
    device_make        varchar(100),
    device_model       varchar(100),
    title              varchar(255),
    author             varchar(255),
    description        text,
    user_id            integer NOT NULL REFERENCES "user" (id),
    CONSTRAINT media_file_status_check CHECK (status::text IN ('pending', 'processing', 'completed', 'error'))
);
-- a user's files, newest first
CREATE INDEX media_file_user_id_upload_time_id_idx ON media_file (user_id, upload_time, id);
-- a search finds a file by its title, the words of its name, and its summary
CREATE INDEX media_file_search_idx ON media_file USING gin (
    to_tsvector('simple', coalesce(title, '') || ' ' || translate(filename, '._-', '   ') || ' ' || coalesce(summary, ''))
);

CREATE TABLE tag (
    id         serial PRIMARY KEY,
    name       varchar(50) NOT NULL UNIQUE,
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE file_tag (
    id            serial PRIMARY KEY,
    media_file_id integer NOT NULL REFERENCES media_file (id) ON DELETE CASCADE,
    tag_id        integer NOT NULL REFERENCES tag (id) ON DELETE CASCADE,
    created_at    timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    UNIQUE (media_file_id, tag_id)
);
CREATE INDEX file_tag_tag_id_idx ON file_tag (tag_id);

-- Transcripts ---------------------------------------------------------------------------------------------------------

CREATE TABLE speaker (
    id               serial PRIMARY KEY,
    user_id          integer NOT NULL REFERENCES "user" (id),
    name             varchar(255) NOT NULL,
    display_name     varchar(255),
    uuid             varchar(255) NOT NULL UNIQUE,
    verified         boolean NOT NULL DEFAULT false,
    embedding_vector jsonb,
    created_at       timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX speaker_user_id_idx ON speaker (user_id);

CREATE TABLE transcript_segment (
    id            serial PRIMARY KEY,
    media_file_id integer NOT NULL REFERENCES media_file (id) ON DELETE CASCADE,
    speaker_id    integer REFERENCES speaker (id) ON DELETE SET NULL,
    start_time    double precision NOT NULL,
    end_time      double precision NOT NULL,
    text          text NOT NULL,
    CONSTRAINT transcript_segment_end_time_check CHECK (end_time >= start_time)
);
CREATE INDEX transcript_segment_media_file_id_start_time_idx ON transcript_segment (media_file_id, start_time);
CREATE INDEX transcript_segment_speaker_id_idx ON transcript_segment (speaker_id);
CREATE INDEX transcript_segment_search_idx ON transcript_segment USING gin (to_tsvector('simple', text));

CREATE TABLE comment (
    id            serial PRIMARY KEY,
    media_file_id integer NOT NULL REFERENCES media_file (id) ON DELETE CASCADE,
    user_id       integer NOT NULL REFERENCES "user" (id),
    text          text NOT NULL,
    timestamp     double precision, -- seconds from the start; null: the whole file
    created_at    timestamp with time zone DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX comment_media_file_id_idx ON comment (media_file_id);
CREATE INDEX comment_user_id_idx ON comment (user_id);

CREATE TABLE analytics (
    id            serial PRIMARY KEY,
    media_file_id integer UNIQUE REFERENCES media_file (id) ON DELETE CASCADE,
    speaker_stats jsonb,
    sentiment     jsonb,
    keywords      jsonb
);

-- Background work -----------------------------------------------------------------------------------------------------

CREATE TABLE task (
    id               varchar(255) PRIMARY KEY,
    user_id          integer NOT NULL REFERENCES "user" (id),
    media_file_id    integer REFERENCES media_file (id) ON DELETE CASCADE,
    task_type        varchar(50) NOT NULL,
    status           varchar(50) NOT NULL,
    progress         double precision DEFAULT 0.0,
    created_at       timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at       timestamp with time zone DEFAULT CURRENT_TIMESTAMP,
    completed_at     timestamp with time zone,
    error_message    text,
    attempts         integer NOT NULL DEFAULT 0, -- how often a worker began it and didn't give it back
    lease_holder     varchar(255), -- who works on it
    lease_expires_at timestamp with time zone, -- renewed while somebody does
    sent_at          timestamp with time zone, -- when its message was last sent; null: none is under way
    CONSTRAINT task_progress_check CHECK (progress >= 0 AND progress <= 1),
    CONSTRAINT task_status_check CHECK (status::text IN ('pending', 'in_progress', 'completed', 'failed'))
);
-- a user's tasks, newest first
CREATE INDEX task_user_id_created_at_id_idx ON task (user_id, created_at, id);
CREATE INDEX task_media_file_id_idx ON task (media_file_id);
-- what is still to be done, oldest first
CREATE INDEX task_unfinished_idx ON task (created_at) WHERE status::text IN ('pending', 'in_progress');
CREATE TRIGGER task_touch_updated_at BEFORE UPDATE ON task
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch_updated_at();

-- The schema about itself ---------------------------------------------------------------------------------------------

CREATE TABLE schema_release (
    id             boolean PRIMARY KEY DEFAULT true,
    oldest_release varchar(32) NOT NULL,
    CONSTRAINT schema_release_id_check CHECK (id) -- one row, ever
);
COMMENT ON TABLE schema_release IS 'One row: the oldest release that works on this schema. Migrations keep it.';

-- Default rows --------------------------------------------------------------------------------------------------------

INSERT INTO schema_release (oldest_release) VALUES ('0.1.0');
INSERT INTO tag (name) VALUES ('Important'), ('Meeting'), ('Interview'), ('Personal');
