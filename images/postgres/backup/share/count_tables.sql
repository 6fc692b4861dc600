-- Each table's rows, the range of its key, and a sum of its content that doesn't depend on the order: a JSON document each.
--
-- What is summed up is a hash of each row, by :sums.
--   text     of the row as text, as the first manifests had it
--   columns  of its columns' own hashes, which takes a third of the time; all that text would tell apart is told apart:
--            floats by their bytes, likewise what has 64 bits, of which the own hash folds one half over the other (1 and
--            4294967296 have the same); text byte for byte in no collation, and what isn't listed here as text. It is
--            hashed once more, because hash_record_extended only shifts and adds: rows that swap a value would have the
--            same sum. That folds too: one changed row in 4 thousand million would go unnoticed, by chance alone
SELECT format(
    'SELECT json_build_object(''table'', %L, ''rows'', count(*), ''first'', %s, ''last'', %s,'
    ' ''sum'', coalesce(sum(%s), 0)::text) FROM ONLY %s AS "opentr row"',
    wanted.name,
    CASE WHEN key.columns IS NULL THEN 'NULL' ELSE
        format('(SELECT json_build_array(%s)::text FROM ONLY %s ORDER BY %s LIMIT 1)', key.columns, wanted.name, key.up) END,
    CASE WHEN key.columns IS NULL THEN 'NULL' ELSE
        format('(SELECT json_build_array(%s)::text FROM ONLY %s ORDER BY %s LIMIT 1)', key.columns, wanted.name, key.down) END,
    CASE :'sums' WHEN 'text' THEN 'hashtextextended("opentr row"::text, 0)' ELSE content.hash END,
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
CROSS JOIN LATERAL (
    SELECT format('hashint8extended(hash_record_extended(ROW(%s), 0), 0)', concat_ws(', ',
        string_agg(format(fast.form, a.attname), ', ' ORDER BY a.attnum),
        'ROW(' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE fast.form IS NULL) || ')::text COLLATE "C"'
    )) AS hash
    FROM pg_attribute a
    LEFT JOIN (VALUES
        ('bool'::regtype, '%I'), ('int2', '%I'), ('int4', '%I'), ('oid', '%I'), ('uuid', '%I'), ('bytea', '%I'), ('date', '%I'),
        ('int8', 'int8send(%I)'), ('time', 'time_send(%I)'), ('timestamp', 'timestamp_send(%I)'),
        ('timestamptz', 'timestamptz_send(%I)'), ('float4', 'float4send(%I)'), ('float8', 'float8send(%I)'),
        ('text', '%I COLLATE "C"'), ('varchar', '%I COLLATE "C"')
    ) AS fast (type, form) ON fast.type = a.atttypid
    WHERE a.attrelid = wanted.oid AND a.attnum > 0 AND NOT a.attisdropped
) AS content
ORDER BY wanted.name
\gexec
