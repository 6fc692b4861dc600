-- Who holds what the session %(pid)s waits for, one line each.
SELECT format('pid %%s (%%s%%s, %%s for %%s s): %%s', pid, coalesce(usename, backend_type),
              coalesce(nullif(', ' || application_name, ', '), ''), coalesce(state, 'at work'),
              extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start))::int,
              left(regexp_replace(query, '\s+', ' ', 'g'), 120))
FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%(pid)s))
UNION ALL -- a prepared transaction has no session: its pid is 0
SELECT format('prepared transaction %%L of %%s since %%s; ROLLBACK PREPARED or COMMIT PREPARED ends it', gid, owner,
              prepared::timestamp(0))
FROM pg_prepared_xacts WHERE database = current_database() AND 0 = ANY (pg_blocking_pids(%(pid)s))
