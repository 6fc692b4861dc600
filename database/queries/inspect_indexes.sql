-- Indexes with their use, INVALID ones first, then those never used, largest first.
--   bytes                   null while somebody holds the table or the index exclusively
--   scans                   since the figures were last reset
--   last_scan_seconds       since the last use; null: never, or the server is older than PostgreSQL 16
--   stats_reset_seconds     age of the figures; null: they were never reset
--   enforces                whether a key or an exclusion constraint rests on it, so that it works without any scan
--   for_foreign_key         whether it starts with the columns of a foreign key, which deletes on the other side need
--   valid                   false: a build that failed or goes on; it costs writes and serves nobody
--   building                whether a session is building it now (of another role's session: only where this role may see it)
WITH held AS (
    SELECT relation
    FROM pg_locks
    WHERE locktype = 'relation'
      AND mode = 'AccessExclusiveLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT n.nspname::text AS schema,
       t.relname::text AS table,
       c.relname::text AS index,
       CASE WHEN NOT EXISTS (SELECT FROM held WHERE relation IN (i.indexrelid, i.indrelid))
            THEN pg_relation_size(i.indexrelid)
       END AS bytes,
       s.idx_scan AS scans,
       -- the column came with PostgreSQL 16
       round(extract(epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'last_idx_scan')::timestamptz))::bigint
           AS last_scan_seconds,
       (SELECT round(extract(epoch FROM clock_timestamp() - stats_reset))::bigint
        FROM pg_stat_database
        WHERE datname = current_database()) AS stats_reset_seconds,
       i.indisunique OR i.indisexclusion AS enforces,
       EXISTS (
           SELECT FROM pg_constraint AS k
           WHERE k.contype = 'f' AND k.conrelid = i.indrelid AND i.indnkeyatts >= cardinality(k.conkey)
             AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
       ) AS for_foreign_key,
       i.indisvalid AS valid,
       EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid) AS building
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
LEFT JOIN pg_stat_user_indexes AS s ON s.indexrelid = i.indexrelid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY i.indisvalid, coalesce(s.idx_scan, 0) > 0, bytes DESC NULLS FIRST, schema, "table", index;
