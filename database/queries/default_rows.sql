-- The rows of one table as JSON, without keys that a sequence gives and without times that the server's clock gives.
SELECT (to_jsonb(t) - ARRAY(
    SELECT a.attname::text
    FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = '{table}'::regclass
      AND pg_get_expr(d.adbin, d.adrelid) ~ '^nextval|CURRENT_TIMESTAMP|now\(\)'
))::text AS row
FROM {table} t
ORDER BY 1
