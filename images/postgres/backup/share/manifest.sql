-- What a restore to the restore point :point must have, taken at that very moment while others write (design §8).
--
-- LOCK TABLE takes no snapshot, so this transaction's is that of the query that makes the restore point; nobody has
-- uncommitted rows then, and nobody commits any between the two. Rolling back to the savepoint frees the locks, and the
-- snapshot stays. What remains locked, weakly, is the tables' structure: a TRUNCATE would show in a snapshot.
--
-- :tables lists the tables, sorted; the file :locks has a statement for each, in the order of this try.
\set ON_ERROR_STOP on
\set VERBOSITY verbose
\ir session.sql
SELECT :'tables' <> '' AS any_tables \gset
\ir count_sequences.sql
BEGIN ISOLATION LEVEL REPEATABLE READ;
\if :any_tables
SET LOCAL lock_timeout = '1s';
LOCK TABLE :tables IN ACCESS SHARE MODE;
\endif
SAVEPOINT unlocked;
-- For all locks together, and less than a writer needs to find out that we wait for each other (deadlock_timeout, 1 s):
-- it is us who give up, never he.
SET LOCAL transaction_timeout = '600ms';
\set asked `date +%s%3N`
\i :locks
SELECT pg_create_restore_point(:'point') AS lsn, to_char(clock_timestamp(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS taken_at \gset
ROLLBACK TO SAVEPOINT unlocked;
\set freed `date +%s%3N`
\set wanted :'tables'
\ir list_tables.sql
SELECT :wanted = :'tables' AS same, to_regclass('public.alembic_version') IS NOT NULL AS stamped \gset
\if :same
\else
DO $$ BEGIN RAISE EXCEPTION 'a table came or went meanwhile' USING ERRCODE = 'serialization_failure'; END $$;
\endif
\set revision ''
\if :stamped
SELECT coalesce(string_agg(version_num, ',' ORDER BY version_num), '') AS revision FROM public.alembic_version \gset
\endif
\set sums columns
SELECT json_build_object('restore_point', :'point', 'lsn', :'lsn', 'segment', pg_walfile_name(:'lsn'), 'sums', :'sums',
    'taken_at', :'taken_at', 'revision', nullif(:'revision', ''), 'lock_seconds', (:freed - :asked) / 1000.0::float8);
-- The piece of the log that has the restore point is archived while we count.
SELECT pg_switch_wal() AS switched \gset
\ir count_tables.sql
COMMIT;
