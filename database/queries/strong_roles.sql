-- Roles with rights over the whole cluster.
SELECT rolname::text AS role FROM pg_roles
WHERE rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
ORDER BY 1
