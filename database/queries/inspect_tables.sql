-- Tables and materialized views with their rows, sizes and upkeep, largest first.
--   kind                    table, partitioned table, materialized view
--   estimated_rows          as of the last ANALYZE or VACUUM; null: there was none
--   live_rows, dead_rows    as the statistics count them
--   total_bytes             with indexes_bytes and toast_bytes; null while somebody holds the table exclusively, because
--                           asking would queue behind them
--   vacuum_seconds, analyze_seconds    since the last one, by hand or automatic; null: never
--   countable               whether this role may count its rows now: readable, not held, no row-level security
WITH held AS (
    SELECT coalesce(i.indrelid, l.relation) AS table_oid
    FROM pg_locks AS l
    LEFT JOIN pg_index AS i ON i.indexrelid = l.relation
    WHERE l.locktype = 'relation'
      AND l.mode = 'AccessExclusiveLock'
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
), relations AS (
    SELECT c.oid, c.relname, c.relkind, c.reltuples, c.reltoastrelid, c.relispopulated, n.nspname,
           EXISTS (SELECT FROM held WHERE table_oid IN (c.oid, c.reltoastrelid)) AS is_held
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
)
SELECT r.nspname::text AS schema,
       r.relname::text AS table,
       CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' ELSE 'materialized view' END AS kind,
       CASE WHEN r.reltuples >= 0 THEN r.reltuples::bigint END AS estimated_rows,
       s.n_live_tup AS live_rows,
       s.n_dead_tup AS dead_rows,
       CASE WHEN NOT r.is_held THEN pg_total_relation_size(r.oid) END AS total_bytes,
       CASE WHEN NOT r.is_held THEN pg_indexes_size(r.oid) END AS indexes_bytes,
       CASE WHEN r.is_held THEN NULL
            WHEN r.reltoastrelid = 0 THEN 0
            ELSE pg_total_relation_size(r.reltoastrelid)
       END AS toast_bytes,
       round(extract(epoch FROM clock_timestamp() - greatest(s.last_vacuum, s.last_autovacuum)))::bigint
           AS vacuum_seconds,
       round(extract(epoch FROM clock_timestamp() - greatest(s.last_analyze, s.last_autoanalyze)))::bigint
           AS analyze_seconds,
       r.relkind <> 'p' AND r.relispopulated AND NOT r.is_held
           AND has_schema_privilege(r.nspname, 'USAGE') AND has_table_privilege(r.oid, 'SELECT')
           AND NOT row_security_active(r.oid) AS countable
FROM relations AS r
LEFT JOIN pg_stat_user_tables AS s ON s.relid = r.oid
ORDER BY total_bytes DESC NULLS FIRST, schema, "table";
