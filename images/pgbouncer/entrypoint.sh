#!/usr/bin/env bash
# Starts PgBouncer. The health check's password goes from its secret into a file that psql reads: so it is in no argument
# and no environment.
set -euo pipefail
umask 077
secret=/run/secrets/app_monitor_password
[[ -s $secret ]] || { printf 'opentr: %s is missing or empty.\nopentr: Start with ./opentr.sh, which makes it.\n' "$secret" >&2 && exit 1; }
password=$(<"$secret") && password=${password//\\/\\\\}
printf '*:*:*:app_monitor:%s\n' "${password//:/\\:}" >/run/pgbouncer/passfile
exec pgbouncer /etc/opentr/pgbouncer.ini
