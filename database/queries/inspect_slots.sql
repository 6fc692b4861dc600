-- Replication slots: the server keeps the WAL that a slot's reader hasn't taken yet, until the disk is full.
--   kind                physical, logical
--   active              whether somebody reads from it now
--   kept_bytes          WAL kept because of it; null: nothing was reserved, or it is lost
--   wal_status          reserved, extended, unreserved, lost
SELECT slot_name::text AS slot,
       slot_type AS kind,
       database::text AS database,
       active,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
       )::bigint AS kept_bytes,
       wal_status
FROM pg_replication_slots
ORDER BY kept_bytes DESC NULLS LAST, slot;
