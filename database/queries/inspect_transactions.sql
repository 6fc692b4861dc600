-- Open transactions in this database, longest first, and sessions that this role may not look into.
--   kind                    client backend, autovacuum worker, ...
--   state                   active, idle in transaction, ...
--   transaction_seconds     since the transaction began
--   state_seconds           since the state began: of an idle one, how long its client has said nothing
--   waits_for               what it waits for, if anything
--   query                   what runs, or ran last
--   hidden                  this role may not see the session: all of the above is null
SELECT pid,
       usename::text AS role,
       application_name AS application,
       backend_type AS kind,
       state,
       round(extract(epoch FROM clock_timestamp() - xact_start), 1)::double precision AS transaction_seconds,
       round(extract(epoch FROM clock_timestamp() - state_change), 1)::double precision AS state_seconds,
       wait_event_type || ': ' || wait_event AS waits_for,
       CASE WHEN query <> '<insufficient privilege>' THEN query END AS query,
       coalesce(query = '<insufficient privilege>', false) AS hidden
FROM pg_stat_activity
WHERE datname = current_database()
  AND pid <> pg_backend_pid()
  AND (xact_start IS NOT NULL OR query = '<insufficient privilege>')
ORDER BY xact_start NULLS LAST, pid;
