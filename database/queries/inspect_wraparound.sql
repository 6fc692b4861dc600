-- How far each database is on the way to transaction id wraparound, where the server stops taking writes; oldest first.
--   xid_age, multixact_age      of the oldest rows that weren't frozen yet
--   xid_freeze_at, multixact_freeze_at      the ages at which autovacuum freezes, however busy the server is
SELECT datname::text AS database,
       age(datfrozenxid) AS xid_age,
       mxid_age(datminmxid) AS multixact_age,
       current_setting('autovacuum_freeze_max_age')::bigint AS xid_freeze_at,
       current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixact_freeze_at
FROM pg_database
ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC, database;
