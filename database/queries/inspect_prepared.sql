-- Prepared transactions of the whole server, oldest first: they hold their locks, and what VACUUM might remove in their
-- database, until somebody types COMMIT PREPARED or ROLLBACK PREPARED; a restart doesn't end them.
--   name                what COMMIT PREPARED takes
--   age_seconds         since it was prepared
SELECT gid AS name,
       database::text AS database,
       owner::text AS role,
       round(extract(epoch FROM clock_timestamp() - prepared), 1)::double precision AS age_seconds
FROM pg_prepared_xacts
ORDER BY prepared, gid;
