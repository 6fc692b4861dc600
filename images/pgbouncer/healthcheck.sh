#!/bin/sh
# Healthy: a query comes back from Postgres through the pool. Under PAUSE it waits and fails: the Compose files allow a minute.
set -eu
export PGCONNECT_TIMEOUT=3 PGPASSFILE=/run/pgbouncer/passfile
psql -X -A -t -q -h 127.0.0.1 -p 6432 -U app_monitor -d opentranscribe -c 'SELECT 1'
