#!/bin/sh
# Healthy: a query comes back from Postgres through the pool; or the pool is paused by us, and holds its clients.
set -eu
export PGCONNECT_TIMEOUT=3 PGPASSFILE=/run/pgbouncer/passfile
psql -X -A -t -q -h 127.0.0.1 -p 6432 -U app_monitor -d opentranscribe -c 'SELECT 1'
