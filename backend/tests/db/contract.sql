-- A database as OpenTranscribe's own development SQL made it in May 2025, with data, written from the contract's table:
-- columns in another order than ours, no index beyond the constraints', a revision that no migration folder has.
CREATE TABLE "user" (id SERIAL PRIMARY KEY, email VARCHAR(255) UNIQUE NOT NULL, hashed_password VARCHAR(255) NOT NULL,
    full_name VARCHAR(255) NOT NULL, is_active BOOLEAN NOT NULL DEFAULT TRUE, is_superuser BOOLEAN NOT NULL DEFAULT FALSE,
    role VARCHAR(50) DEFAULT 'user', created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE media_file (id SERIAL PRIMARY KEY, filename VARCHAR(255) NOT NULL, storage_path VARCHAR(500) NOT NULL,
    file_size BIGINT NOT NULL, duration FLOAT, upload_time TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP WITH TIME ZONE NULL, content_type VARCHAR(100) NOT NULL, status VARCHAR(50) DEFAULT 'pending',
    is_public BOOLEAN DEFAULT FALSE, language VARCHAR(10) NULL, summary TEXT NULL, translated_text TEXT NULL,
    metadata_raw JSONB NULL, metadata_important JSONB NULL, media_format VARCHAR(50) NULL, codec VARCHAR(50) NULL,
    frame_rate FLOAT NULL, frame_count INTEGER NULL, resolution_width INTEGER NULL, resolution_height INTEGER NULL,
    aspect_ratio VARCHAR(20) NULL, audio_channels INTEGER NULL, audio_sample_rate INTEGER NULL, audio_bit_depth INTEGER NULL,
    creation_date TIMESTAMP WITH TIME ZONE NULL, last_modified_date TIMESTAMP WITH TIME ZONE NULL,
    device_make VARCHAR(100) NULL, device_model VARCHAR(100) NULL, title VARCHAR(255) NULL, author VARCHAR(255) NULL,
    description TEXT NULL, user_id INTEGER NOT NULL REFERENCES "user" (id));
CREATE TABLE tag (id SERIAL PRIMARY KEY, name VARCHAR(50) UNIQUE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE file_tag (id SERIAL PRIMARY KEY, media_file_id INTEGER NOT NULL REFERENCES media_file (id) ON DELETE CASCADE,
    tag_id INTEGER NOT NULL REFERENCES tag (id) ON DELETE CASCADE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP, UNIQUE (media_file_id, tag_id));
CREATE TABLE speaker (id SERIAL PRIMARY KEY, uuid VARCHAR(255) NOT NULL UNIQUE, display_name VARCHAR(255) NULL,
    user_id INTEGER NOT NULL REFERENCES "user" (id), name VARCHAR(255) NOT NULL, embedding_vector JSONB NULL,
    verified BOOLEAN NOT NULL DEFAULT FALSE, created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE transcript_segment (id SERIAL PRIMARY KEY, media_file_id INTEGER NOT NULL REFERENCES media_file (id),
    speaker_id INTEGER NULL REFERENCES speaker (id), start_time FLOAT NOT NULL, end_time FLOAT NOT NULL, text TEXT NOT NULL);
CREATE TABLE comment (id SERIAL PRIMARY KEY, media_file_id INTEGER NOT NULL REFERENCES media_file (id),
    user_id INTEGER NOT NULL REFERENCES "user" (id), text TEXT NOT NULL, timestamp FLOAT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE task (id VARCHAR(255) PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES "user" (id),
    media_file_id INTEGER NULL REFERENCES media_file (id), task_type VARCHAR(50) NOT NULL, status VARCHAR(50) NOT NULL,
    progress FLOAT DEFAULT 0.0, created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP, completed_at TIMESTAMP WITH TIME ZONE NULL,
    error_message TEXT NULL);
CREATE TABLE analytics (id SERIAL PRIMARY KEY, media_file_id INTEGER UNIQUE REFERENCES media_file (id),
    speaker_stats JSONB NULL, sentiment JSONB NULL, keywords JSONB NULL);
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
INSERT INTO alembic_version (version_num) VALUES ('74093bff36e6');

INSERT INTO tag (name) VALUES ('Important'), ('Meeting'), ('Interview'), ('Personal');
INSERT INTO "user" (email, hashed_password, full_name, role)
    SELECT 'user' || n || '@example.com', '$2b$12$' || repeat('x', 53), 'User ' || n, 'user' FROM generate_series(1, 5) n;
INSERT INTO media_file (filename, storage_path, file_size, duration, content_type, status, metadata_raw, title, summary, user_id)
    SELECT 'team_meeting-' || n || '.mp3', 'user_' || n % 5 + 1 || '/file_' || n || '/team_meeting-' || n || '.mp3',
           n * 1000003, n * 1.5, 'audio/mpeg', (ARRAY['pending', 'processing', 'completed', 'error'])[n % 4 + 1],
           jsonb_build_object('n', n, 'odd', E'tab\tquote"'), 'Meeting ' || n, CASE WHEN n % 2 = 0 THEN 'About budgets ' || n END,
           n % 5 + 1
    FROM generate_series(1, 40) n;
UPDATE media_file SET upload_time = NULL, completed_at = '2025-05-01 10:00+00' WHERE id = 7;
INSERT INTO file_tag (media_file_id, tag_id) SELECT n, n % 4 + 1 FROM generate_series(1, 40) n;
INSERT INTO speaker (uuid, display_name, user_id, name, verified, embedding_vector)
    SELECT md5(n::text), NULLIF('Speaker ' || n, 'Speaker 3'), n % 5 + 1, 'SPEAKER_0' || n, n % 2 = 0, '[0.1, 0.2]'
    FROM generate_series(1, 9) n;
INSERT INTO transcript_segment (media_file_id, speaker_id, start_time, end_time, text)
    SELECT n % 40 + 1, NULLIF(n % 10, 0), n * 0.5, n * 0.5 + 0.4, 'Segment ' || n || ' says größer, 汉字 and it''s \n fine'
    FROM generate_series(1, 2000) n;
INSERT INTO comment (media_file_id, user_id, text, timestamp)
    SELECT n, n % 5 + 1, 'Comment ' || n, NULLIF(n, 3) FROM generate_series(1, 20) n;
INSERT INTO task (id, user_id, media_file_id, task_type, status, progress)
    SELECT md5('task' || n), n % 5 + 1, NULLIF(n, 4), 'transcription',
           (ARRAY['pending', 'in_progress', 'completed', 'failed'])[n % 4 + 1], n / 40.0
    FROM generate_series(1, 40) n;
UPDATE task SET created_at = NULL, updated_at = '2025-01-02 03:04+00' WHERE id = md5('task5');
INSERT INTO analytics (media_file_id, speaker_stats, keywords) SELECT n, '{"SPEAKER_01": 3.5}', '["budget"]' FROM generate_series(1, 10) n;
