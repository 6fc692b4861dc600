-- The roles of OpenTranscribe, and what they may do in the database that this runs in.
--
-- Run it as a superuser, in that database, before its tables are made. Run again it leaves roles that are there as they
-- are (an operator may have changed a limit, or locked one out), and renews this database's rights:
--     psql -v ON_ERROR_STOP=1 -f roles.sql opentranscribe
-- Roles are made without passwords, so nobody can log in as one over TCP until one is set (ALTER ROLE ... PASSWORD).
--
--   app_owner     owns everything; nobody logs in as it
--   app_rw        API and workers, through the pool: reads and writes rows
--   app_ro        people and reports: reads rows
--   app_migrator  Alembic, directly: acts as app_owner, sees and ends the app's sessions
--   app_monitor   metrics
--   app_backup    backups, by the local socket
--   pgb_auth      PgBouncer's look-up of password hashes, and nothing else

-- The cluster ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    wanted record;
    setting text;
BEGIN
    -- Time limits live on the roles, because a SET doesn't survive transaction pooling.
    FOR wanted IN SELECT * FROM (VALUES
        ('app_owner', 'NOLOGIN', ARRAY[]::text[]),
        ('app_rw', 'LOGIN', ARRAY[
            'statement_timeout = ''60s''', 'lock_timeout = ''10s''', 'idle_in_transaction_session_timeout = ''60s''']),
        ('app_ro', 'LOGIN', ARRAY[
            'default_transaction_read_only = on', 'statement_timeout = ''5min''',
            'idle_in_transaction_session_timeout = ''60s''']),
        ('app_migrator', 'LOGIN', ARRAY['role = ''app_owner''']),
        ('app_monitor', 'LOGIN', ARRAY['statement_timeout = ''10s''']),
        ('app_backup', 'LOGIN', ARRAY[]::text[]),
        ('pgb_auth', 'LOGIN', ARRAY['statement_timeout = ''5s'''])
    ) AS roles (name, login, settings) LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
            FOREACH setting IN ARRAY wanted.settings LOOP
                EXECUTE format('ALTER ROLE %I SET %s', wanted.name, setting);
            END LOOP;
        END IF;
    END LOOP;
END
$$;

-- The migrator's objects belong to app_owner. It names who blocks it and may end that session: both are rights of the
-- role that logged in, which is asked for with `role=none`.
GRANT app_owner TO app_migrator;
GRANT pg_read_all_stats, pg_signal_backend TO app_migrator;
GRANT pg_monitor TO app_monitor;
-- It also counts the rows that a restore must have, at a moment when nobody writes (pg_maintain: LOCK TABLE, from 17 on).
GRANT pg_read_all_settings, pg_read_all_stats, pg_read_all_data TO app_backup;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_maintain') THEN
        GRANT pg_maintain TO app_backup;
    END IF;
END
$$;

-- This database -------------------------------------------------------------------------------------------------------

DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO app_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO app_rw, app_ro', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO app_migrator, app_monitor, app_backup, pgb_auth', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO app_owner;
GRANT USAGE ON SCHEMA public TO app_rw, app_ro, app_monitor, app_backup;

ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO app_rw;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT ON TABLES TO app_ro, app_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA public GRANT SELECT ON SEQUENCES TO app_ro, app_backup;

-- What a backup calls. The first two had other names before 15.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['pg_backup_start', 'pg_backup_stop', 'pg_start_backup', 'pg_stop_backup', 'pg_switch_wal',
                                  'pg_create_restore_point'] LOOP
        SELECT coalesce(max(oid::regprocedure::text), '') INTO wanted FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = wanted AND (proname <> 'pg_stop_backup' OR pronargs > 0);
        IF wanted <> '' THEN
            EXECUTE 'GRANT EXECUTE ON FUNCTION ' || wanted || ' TO app_backup';
        END IF;
    END LOOP;
END
$$;

-- What a restored cluster is checked with before it may be written to; a server may come without it.
CREATE SCHEMA IF NOT EXISTS amcheck;
REVOKE ALL ON SCHEMA amcheck FROM PUBLIC;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck') THEN
        CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA amcheck;
    END IF;
END
$$;

-- PgBouncer asks this for the hash of a user who logs in. It answers for the roles that come through the pool alone.
CREATE SCHEMA IF NOT EXISTS pgbouncer;
REVOKE ALL ON SCHEMA pgbouncer FROM PUBLIC;
GRANT USAGE ON SCHEMA pgbouncer TO pgb_auth;
CREATE OR REPLACE FUNCTION pgbouncer.user_lookup(wanted text, OUT username text, OUT password text) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT usename::text, passwd FROM pg_shadow
    WHERE usename = wanted AND usename IN ('app_rw', 'app_ro', 'app_monitor')
$$;
REVOKE ALL ON FUNCTION pgbouncer.user_lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgbouncer.user_lookup(text) TO pgb_auth;
