-- Sequences and how much of their numbers is used, fullest first.
--   feeds               the column that it belongs to or whose default takes from it; null: none
--   last_value          null: never used, or hidden
--   end_value           the last number that both the sequence and its column's type can hold: the end of an integer
--                       column comes at 2147483647 even if its sequence is a bigint
--   used                last_value as a share of end_value, 0 to 1
--   cycles              starts again at the end
--   hidden              this role may not read it: last_value and used are null
WITH feeding AS (
    SELECT d.objid AS sequence, d.refobjid AS relation, d.refobjsubid AS attnum
    FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    UNION
    SELECT d.refobjid, f.adrelid, f.adnum
    FROM pg_depend AS d
    JOIN pg_attrdef AS f ON f.oid = d.objid
    WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'n'
), sequences AS (
    SELECT s.schemaname, s.sequencename, s.last_value, s.increment_by > 0 AS rises, s.min_value, s.max_value, s.cycle,
           n.nspname, t.relname, a.attname,
           CASE a.atttypid WHEN 'smallint'::regtype THEN 32767
                           WHEN 'integer'::regtype THEN 2147483647
                           ELSE 9223372036854775807
           END AS column_end,
           NOT coalesce(has_sequence_privilege(c.oid, 'USAGE, SELECT'), false) AS hidden
    FROM pg_sequences AS s
    JOIN pg_namespace AS sn ON sn.nspname = s.schemaname
    JOIN pg_class AS c ON c.relname = s.sequencename AND c.relnamespace = sn.oid
    LEFT JOIN feeding AS f ON f.sequence = c.oid
    LEFT JOIN pg_attribute AS a ON a.attrelid = f.relation AND a.attnum = f.attnum
    LEFT JOIN pg_class AS t ON t.oid = f.relation
    LEFT JOIN pg_namespace AS n ON n.oid = t.relnamespace
), ends AS (
    SELECT *, CASE WHEN rises THEN least(max_value, column_end) ELSE greatest(min_value, -column_end - 1) END AS end_value
    FROM sequences
)
SELECT schemaname::text AS schema,
       sequencename::text AS sequence,
       nspname || '.' || relname || '.' || attname AS feeds,
       last_value,
       end_value,
       CASE WHEN NOT hidden
            THEN round(greatest(last_value::numeric / nullif(end_value, 0), 0), 6)::double precision
       END AS used,
       cycle AS cycles,
       hidden
FROM ends
ORDER BY used DESC NULLS LAST, schema, sequence, feeds;
