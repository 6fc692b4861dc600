-- The server, the database and who is asking: one row.
--   version, version_number    17.2, and 170002 for comparing
--   role, login                whose rights count now, and who logged in
--   sees_all_sessions          whether the role may see what other roles' sessions do
--   database_bytes, uptime_seconds
--   in_recovery                a standby, or a restore that hasn't ended
--   checksums                  whether damaged pages are noticed
--   stats_reset_seconds        age of the figures about use; null: they were never reset
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::integer AS version_number,
       current_database()::text AS database,
       current_user::text AS role,
       session_user::text AS login,
       pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all_sessions,
       pg_database_size(current_database()) AS database_bytes,
       round(extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()))::bigint AS uptime_seconds,
       pg_is_in_recovery() AS in_recovery,
       current_setting('data_checksums') = 'on' AS checksums,
       (SELECT round(extract(epoch FROM clock_timestamp() - stats_reset))::bigint
        FROM pg_stat_database
        WHERE datname = current_database()) AS stats_reset_seconds;
