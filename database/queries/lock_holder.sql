-- The session that holds the advisory lock %(key)s of this database.
SELECT format('pid %%s (%%s, since %%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename), a.backend_start::timestamp(0))
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s
