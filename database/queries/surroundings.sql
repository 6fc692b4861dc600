-- What a catalog leaves out, one row an object: owners, grants and comments in schema public, and what owns the schema.
-- A grant that is the type's default (nobody has changed it) isn't listed.
WITH objects AS (
    SELECT 'pg_class'::regclass AS class, c.oid, 0 AS part, c.relowner AS owner, c.relacl AS acl,
           CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, c.relname::text AS name
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, a.attnum, NULL, a.attacl, 'column', c.relname || '.' || a.attname
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname <> 'alembic_version'
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 0, NULL, NULL, 'index', c.relname::text
    FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid JOIN pg_class t ON t.oid = x.indrelid
    WHERE c.relnamespace = 'public'::regnamespace AND t.relname <> 'alembic_version'
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, p.proowner, p.proacl, 'function', p.oid::regprocedure::text
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 0, t.typowner, t.typacl, 'type', t.typname::text
    FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r')
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid, 0, NULL, NULL, 'constraint', t.relname || '.' || k.conname
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
    WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'alembic_version' AND k.contype <> 'n'
    UNION ALL
    SELECT 'pg_trigger'::regclass, g.oid, 0, NULL, NULL, 'trigger', t.relname || '.' || g.tgname
    FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid
    WHERE t.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal
),
ours AS (
    SELECT o.* FROM objects o
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'e' AND d.classid = o.class AND d.objid = o.oid)
)
SELECT 'owner of ' || kind AS kind, name, owner::regrole::text AS definition FROM ours WHERE owner IS NOT NULL
UNION ALL
SELECT 'grant on ' || o.kind, o.name || ' to ' || CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END,
       string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY g.privilege_type)
FROM ours o CROSS JOIN LATERAL aclexplode(o.acl) g
WHERE g.grantee IS DISTINCT FROM o.owner
GROUP BY o.kind, o.name, g.grantee
UNION ALL
SELECT 'comment on ' || o.kind, o.name, c.description
FROM ours o JOIN pg_description c ON c.classoid = o.class AND c.objoid = o.oid AND c.objsubid = o.part
ORDER BY 1, 2
