#!/bin/sh
# Healthy: it answers a query, and takes writes (a server that still recovers may answer, but only reads).
set -eu
export PGCONNECT_TIMEOUT=3
[ "$(psql -X -A -t -q -U postgres -d postgres -c 'SELECT pg_is_in_recovery()')" = f ]
