-- Who waits for whom in this database: the waiting sessions, and those that they wait for.
--   pid                 0 stands for a prepared transaction, which no session holds
--   blocked_by          the pids that it waits for, by locks held or asked for earlier; empty: it waits for nobody
--   wait_seconds        since it began to wait
--   wants               the lock that it waits for: AccessExclusiveLock on media_file
--   transaction_seconds since its transaction began
--   query               what waits; of a session that waits for nobody: what runs, or ran last
--   hidden              this role may not see the session
WITH waiting AS MATERIALIZED (
    SELECT DISTINCT ON (l.pid)
           l.pid,
           ARRAY(SELECT DISTINCT unnest(pg_blocking_pids(l.pid)) ORDER BY 1) AS blocked_by,
           l.waitstart,
           l.mode || ' on ' || coalesce(
               CASE WHEN l.database = a.datid THEN l.relation::regclass::text END, l.locktype
           ) || CASE l.locktype WHEN 'tuple' THEN ' (a row)' ELSE '' END AS wants
    FROM pg_locks AS l
    JOIN pg_stat_activity AS a ON a.pid = l.pid AND a.datname = current_database()
    WHERE NOT l.granted
    ORDER BY l.pid, l.waitstart
), involved AS (
    SELECT pid FROM waiting WHERE cardinality(blocked_by) > 0
    UNION
    SELECT unnest(blocked_by) FROM waiting
)
SELECT i.pid,
       coalesce(w.blocked_by, '{}') AS blocked_by,
       round(extract(epoch FROM clock_timestamp() - w.waitstart), 1)::double precision AS wait_seconds,
       w.wants,
       a.usename::text AS role,
       a.application_name AS application,
       a.state,
       round(extract(epoch FROM clock_timestamp() - a.xact_start), 1)::double precision AS transaction_seconds,
       CASE WHEN a.query <> '<insufficient privilege>' THEN a.query END AS query,
       coalesce(a.query = '<insufficient privilege>', false) AS hidden
FROM involved AS i
LEFT JOIN waiting AS w ON w.pid = i.pid
LEFT JOIN pg_stat_activity AS a ON a.pid = i.pid
ORDER BY w.waitstart NULLS FIRST, i.pid;
