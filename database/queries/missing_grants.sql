-- The grants that app_owner's default privileges give to new objects and that existing objects of app_owner in schema
-- public lack, as statements.
SELECT format('GRANT %s ON %s %s TO %I', string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type),
              CASE d.defaclobjtype WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, pg_get_userbyid(g.grantee)::text) AS statement
FROM pg_default_acl d
CROSS JOIN LATERAL aclexplode(d.defaclacl) g
JOIN pg_class c ON c.relnamespace = d.defaclnamespace
 AND CASE d.defaclobjtype WHEN 'S' THEN c.relkind = 'S' ELSE c.relkind IN ('r', 'p', 'v', 'm', 'f') END
WHERE d.defaclrole = 'app_owner'::regrole AND d.defaclnamespace = 'public'::regnamespace AND d.defaclobjtype IN ('r', 'S')
  AND c.relowner = 'app_owner'::regrole AND g.grantee <> 'app_owner'::regrole
  AND NOT EXISTS (
      SELECT FROM aclexplode(c.relacl) has WHERE has.grantee = g.grantee AND has.privilege_type = g.privilege_type)
GROUP BY d.defaclobjtype, c.oid, g.grantee
ORDER BY 1
