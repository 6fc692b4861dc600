-- Where each sequence stands: a JSON document each. One that hasn't given a number yet stands before its first.
SELECT format(
    'SELECT json_build_object(''sequence'', %L, ''value'', last_value - CASE WHEN is_called THEN 0 ELSE %s END, ''up'', %s) FROM %I.%I',
    format('%I.%I', n.nspname, c.relname), s.seqincrement, CASE WHEN s.seqincrement > 0 THEN 'true' ELSE 'false' END,
    n.nspname, c.relname)
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'p'
ORDER BY n.nspname, c.relname
\gexec
