-- Each table's rows, the range of its key, and a sum of its content that doesn't depend on the order: a JSON document each.
SELECT format(
    'SELECT json_build_object(''table'', %L, ''rows'', count(*), ''first'', %s, ''last'', %s,'
    ' ''sum'', coalesce(sum(hashtextextended("opentr row"::text, 0)), 0)::text) FROM ONLY %s AS "opentr row"',
    wanted.name,
    CASE WHEN key.columns IS NULL THEN 'NULL' ELSE
        format('(SELECT json_build_array(%s)::text FROM ONLY %s ORDER BY %s LIMIT 1)', key.columns, wanted.name, key.up) END,
    CASE WHEN key.columns IS NULL THEN 'NULL' ELSE
        format('(SELECT json_build_array(%s)::text FROM ONLY %s ORDER BY %s LIMIT 1)', key.columns, wanted.name, key.down) END,
    wanted.name)
FROM (
    SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
) AS wanted
LEFT JOIN LATERAL (
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) AS columns,
           string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) AS up,
           string_agg(quote_ident(a.attname) || ' DESC', ', ' ORDER BY k.place) AS down
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = wanted.oid AND i.indisprimary
) AS key ON true
ORDER BY wanted.name
\gexec
