-- Roles that have been granted something in schema public that they don't own.
SELECT DISTINCT pg_get_userbyid(g.grantee)::text AS role
FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g
WHERE c.relnamespace = 'public'::regnamespace AND g.grantee <> 0 AND g.grantee <> c.relowner
ORDER BY 1
