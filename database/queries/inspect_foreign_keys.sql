-- Foreign keys that no index serves: a delete or a change of key on the other side reads the whole table, for each row.
--   columns             the key's columns
--   refers_to           the table on the other side
--   estimated_rows      of the table that the key stands in; null: never analyzed
-- An index serves a key when it is valid, starts with the key's columns in any order, and holds all rows, or at least all
-- in which the key's column isn't null.
SELECT n.nspname::text AS schema,
       t.relname::text AS table,
       k.conname::text AS foreign_key,
       ARRAY(
           SELECT a.attname::text
           FROM unnest(k.conkey) WITH ORDINALITY AS key (attnum, place)
           JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = key.attnum
           ORDER BY key.place
       ) AS columns,
       k.confrelid::regclass::text AS refers_to,
       CASE WHEN t.reltuples >= 0 THEN t.reltuples::bigint END AS estimated_rows
FROM pg_constraint AS k
JOIN pg_class AS t ON t.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE k.contype = 'f'
  AND k.conparentid = 0
  AND n.nspname !~ '^pg_'
  AND NOT EXISTS (
      SELECT FROM pg_index AS i
      JOIN pg_class AS c ON c.oid = i.indexrelid
      JOIN pg_am AS m ON m.oid = c.relam AND m.amname IN ('btree', 'hash')
      WHERE i.indrelid = k.conrelid
        AND i.indisvalid
        AND i.indnkeyatts >= cardinality(k.conkey)
        AND (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
        AND (i.indpred IS NULL
             OR pg_get_expr(i.indpred, i.indrelid) IN (
                 SELECT '(' || quote_ident(a.attname) || ' IS NOT NULL)'
                 FROM pg_attribute AS a
                 WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
             ))
  )
ORDER BY t.reltuples DESC, schema, "table", foreign_key;
