#!/usr/bin/env bash
# Starts Postgres; the first time it makes the cluster: with the database, the roles and their passwords, without tables.
# That happens in a folder beside PGDATA, which gets its name when all is done and on the disk: killed at any moment, the
# next start begins anew, and a cluster that is there is never touched.
set -euo pipefail
umask 077
: "${PGDATA:?}"
volume=${PGDATA%/*} new=$PGDATA.new backups=/var/lib/pgbackrest/backup/main
# Where a container has them; the embedded runtime, which runs this without one, says otherwise.
export secrets=${SECRETS_FOLDER:-/run/secrets}
config=${CONFIG_FOLDER:-/etc/opentr} roles_sql=${ROLES_SQL:-/usr/local/share/opentr/roles.sql}
roles=(app_rw app_ro app_migrator app_monitor pgb_auth)

fail() { # what happened, what to do
    printf 'opentr: %s\n' "$@" >&2
    exit 1
}

check_volume() {
    local major there
    [[ -w $volume ]] || fail "$volume belongs to uid $(stat -c %u "$volume"), and Postgres is uid $EUID here: it can't write there." \
        "Give the volume to it (chown -R $EUID:$EUID), or start with an empty one."
    # `restore` moves folders, and was ended between two moves.
    for there in "$PGDATA".{leaving,replaced,restored,older,preparing}; do
        [[ -e $PGDATA || ! -e $there ]] || fail "$PGDATA isn't there, and $there is: a restore didn't come to its end, and no new cluster is made." \
            "Run ./opentr.sh start prod, which ends one that was cut short; if it says this again: ./opentr.sh restore prod --latest"
    done
    if [[ ! -e $PGDATA ]]; then
        # A new cluster could archive nothing there, and would hide that the old one's data can be had.
        for there in "$backups"/[0-9]*; do
            [[ ! -e $there ]] || fail "There is no data in $volume, and backups of it are in $backups: no new cluster is made." \
                "Bring it back: ./opentr.sh restore prod --latest"
        done
        return 0
    fi
    [[ -s $PGDATA/PG_VERSION ]] || fail "$PGDATA is there and holds no cluster (no PG_VERSION): it is left as it is." \
        "Look at what it is; restore a backup, or start with an empty volume."
    major=$(postgres --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/') there=$(<"$PGDATA/PG_VERSION")
    [[ $there == "$major" ]] || fail "$PGDATA was made by PostgreSQL $there, and this is $major: it is left as it is." \
        "Move it with a logical backup made by $there, or start the release that ran $there."
}

check_secrets() {
    local role missing=()
    for role in "${roles[@]}"; do [[ -r $secrets/${role}_password && -s $secrets/${role}_password ]] || missing+=("${role}_password"); done
    ((${#missing[@]} == 0)) || fail "These secrets are missing, empty or not to be read in $secrets: ${missing[*]}" \
        "Start with ./opentr.sh, which makes them."
}

# Passwords reach the server alone: not argv, not the environment, and it logs no statement, not even one that fails.
set_passwords() {
    local role
    for role in "${roles[@]}"; do
        # shellcheck disable=SC2016 # psql runs it, and the shell that it starts
        printf '\\set password `cat "$secrets/%s_password"`\n' "$role"
        printf "ALTER ROLE %s PASSWORD :'password';\n" "$role"
    done
}

make_cluster() {
    local socket server
    # Not where clients look: nobody is to come in yet.
    socket=${PGHOST:-/tmp}/new
    rm -rf "$socket"
    mkdir "$socket"
    initdb --pgdata "$new" --username postgres --data-checksums --encoding=UTF8 --locale=C.UTF-8 --locale-provider=builtin \
        --builtin-locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 --no-instructions
    # Who may come in by the socket is as later on: the system's user need not be called postgres.
    cp -- "$config"/pg_hba.conf "$config"/pg_ident.conf "$new"
    # A shell reads the options; in the value itself a comma would begin another folder.
    server="-c listen_addresses='' -c unix_socket_directories=$(printf %q "\"$socket\"") -c log_min_error_statement=panic"
    pg_ctl --pgdata "$new" --wait --timeout 600 --options "$server" start
    local psql=(psql -X -q -v ON_ERROR_STOP=1 -h "$socket" -U postgres)
    "${psql[@]}" -d postgres -c 'CREATE DATABASE opentranscribe' -c 'CREATE EXTENSION pg_stat_statements'
    "${psql[@]}" -d opentranscribe -f "$roles_sql"
    set_passwords | "${psql[@]}" -d postgres -f -
    pg_ctl --pgdata "$new" --wait --timeout 600 --mode fast stop
    rm -rf "$socket"
}

# Where nobody asks how orphans have ended (a container without an init), a postmaster that was killed stays in the table
# of processes, and Postgres would take it for another one at work.
forget_dead_postmaster() {
    local file pid stat
    for file in "$PGDATA/postmaster.pid" "${PGHOST:-/tmp}"/.s.PGSQL.*.lock; do
        if ! [[ -s $file ]] || ! read -r pid <"$file" || ! [[ -r /proc/$pid/stat ]]; then continue; fi
        if read -r stat <"/proc/$pid/stat" && [[ ${stat##*) } == Z* ]]; then rm "$file"; fi
    done
}

check_volume
# Process ids and shared memory, by which Postgres knows that another runs in its folder, mean nothing between containers:
# this lock does. The server and all its processes inherit it.
exec 9>"$volume/.lock"
flock --timeout 10 9 || fail "Another container runs Postgres on this volume." "Stop that one first."
if [[ ! -e $PGDATA ]]; then
    check_secrets
    rm -rf "$new"
    make_cluster
    sync --file-system "$new"
    mv --no-target-directory "$new" "$PGDATA"
    sync "$volume"
fi
forget_dead_postmaster
exec postgres -D "$PGDATA" -c config_file="$config/postgresql.conf"
