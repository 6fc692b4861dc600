-- Connections of clients to the whole server, by database, role, application and state; the row "total" over all.
--   state               active, idle, idle in transaction, ...; null: this role may not see it
--   connections, hidden     how many, and of how many of them this role may not see the state
--   usable              max_connections without those kept for superusers (and, from PostgreSQL 16 on, for
--                       pg_use_reserved_connections)
--   oldest_seconds      age of the oldest one; null: this role may not see it
SELECT GROUPING(datname) = 1 AS total,
       datname::text AS database,
       usename::text AS role,
       application_name AS application,
       state,
       count(*) AS connections,
       count(*) FILTER (WHERE query = '<insufficient privilege>') AS hidden,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0) AS usable,
       round(extract(epoch FROM clock_timestamp() - min(backend_start)))::bigint AS oldest_seconds
FROM pg_stat_activity
WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'
GROUP BY GROUPING SETS ((datname, usename, application_name, state), ())
ORDER BY total DESC, connections DESC, database, role, application, state;
