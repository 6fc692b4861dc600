# shellcheck shell=bash
# A restored cluster on trial: started where nobody reaches it, compared, looked through. Sourced after progress.bash.
# shellcheck disable=SC2034,SC2154 # what progress.bash has
PGBACKREST_LOCK_PATH=$work/lock
export PGBACKREST_LOCK_PATH # the repository is read-only here
export PGUSER=postgres PGAPPNAME=opentr-proof PGCONNECT_TIMEOUT=5
share=/usr/local/share/opentr
server='' unchecked=()
no_older_helps=3 # how a program ends where an older backup would not help: for want of room, or of log that it needs too
stuck_waits=3   # of 5 s each (wal_retrieve_retry_interval)

ask() { psql -XAtq -v ON_ERROR_STOP=1 -h "$work" -d "$1" -c "$2"; } # database, query

# What is known of a backup: $work/backup; its manifest: $work/manifest.
look_up() { # label
    catalogue >"$work/info" || fault "the repository can't be read"
    jq -e --arg label "$1" '.[0].backup[]? | select(.label == $label)' "$work/info" >"$work/backup" || fault "there is no backup $1"
}

manifest_of() { # label
    [[ -s $repository/manifests/$1.json ]] || fault "backup $1 has no manifest: nothing says what a restore must have" "file $repository/manifests/$1.json"
    jq -e 'has("restore_point") and has("tables") and (.sums // "text" | IN("text", "columns"))' "$repository/manifests/$1.json" >"$work/manifest.ok" ||
        fault "the manifest of backup $1 can't be read" "file $repository/manifests/$1.json"
    cp "$repository/manifests/$1.json" "$work/manifest"
}

restore_fault() { # uses `label`
    local damaged=()
    mapfile -t damaged < <(damaged_files "$label")
    ((${#damaged[@]})) || backrest_fault "it can't be restored"
    fault "it can't be restored: ${trouble[0]:-pgBackRest ended without a word}" "${damaged[@]}"
}

controldata() { # folder, name of a value
    LC_ALL=C pg_controldata "$1" | sed -n "s/^$2: *//p"
}

# What a hot standby needs at least as its primary had it.
limits() { # folder
    local pair
    for pair in max_connections:max_connections max_worker_processes:max_worker_processes max_wal_senders:max_wal_senders \
        max_prepared_transactions:max_prepared_xacts max_locks_per_transaction:max_locks_per_xact; do
        printf -- '-c\n%s=%s\n' "${pair%:*}" "$(controldata "$1" "${pair#*:} setting")"
    done
}

start_server() { # folder, further options
    local folder=$1 options=()
    shift
    mapfile -t options < <(limits "$folder")
    # By the folder's own configuration, of the cluster's first day: the one that serves is mounted elsewhere.
    postgres -D "$folder" -c listen_addresses='' -c unix_socket_directories="$work" -c unix_socket_permissions=0700 \
        -c archive_mode=off -c hot_standby=on -c shared_buffers=128MB -c max_wal_size=1GB -c autovacuum=off \
        -c log_min_messages=info -c lc_messages=C -c log_destination=stderr -c logging_collector=off -c recovery_target_action=pause \
        -c "restore_command=pgbackrest --stanza=main --pg1-path=$folder archive-get %f \"%p\"" \
        "${options[@]}" "$@" 9>&- >"$work/server.log" 2>&1 &
    server=$! child=$!
}

stop_server() {
    kill -INT "$server"
    wait "$server" || fault "the restored Postgres didn't end well" "$(last_words)"
    server='' child=''
}

last_words() { # what the server complained of last; that it takes no connections yet, it says to us
    grep -E 'FATAL|PANIC|ERROR|WARNING' "$work/server.log" | grep -v 'the database system is' | tail -n 1 | sed -E 's/^[^A-Z]*(UTC )?\[[0-9]+\] //' || tail -n 1 "$work/server.log"
}

last_segment() { # the last piece of the log that was replayed from the repository
    grep -oE 'restored log file "[0-9A-F]{24}"' "$work/server.log" | tail -n 1 | cut -d'"' -f2
}

# Pieces of the log that are in the repository and can't be read: Postgres takes such a one for the end of the log.
damaged_log() {
    sed -nE 's|^ *repo1: ([^ ]+) (.*)|repository file archive/main/\1: \2|p' "$work/server.log" | sort -u
}

# Recovery ended early: which piece of the log is missing or can't be read.
recovery_fault() { # what was waited for
    local objects=() words last
    words=$(last_words)
    mapfile -t objects < <(damaged_log)
    if ((${#objects[@]} == 0)) && [[ $words == *'before configured recovery target'* ]]; then
        last=$(last_segment) || last=''
        objects=("repository file archive/main: the log after ${last:-the backup} is missing")
    fi
    ((${#objects[@]})) || mapfile -t objects < <(grep -oE 'invalid page in block [0-9]+ of relation [^ ]+' "$work/server.log" | sort -u)
    ((${#objects[@]})) || objects=("$words")
    [[ ${objects[0]} != *' archive/main'* ]] || fault_status=$no_older_helps
    fault "$1: the restored Postgres ended: $words" "${objects[@]}"
}

# A standby waits for ever for log that it needs to begin with; it takes no connections until it has it.
refuse_stuck() { # what is waited for
    local waits=() damaged=()
    [[ -s $work/server.log ]] && ! grep -q 'consistent recovery state reached' "$work/server.log" || return 0
    mapfile -t waits < <(grep -oE 'waiting for WAL to become available at [0-9A-F/]+' "$work/server.log" | tail -n "$stuck_waits")
    ((${#waits[@]} == stuck_waits)) && [[ $(printf '%s\n' "${waits[@]}" | sort -u | wc -l) == 1 ]] || return 0
    mapfile -t damaged < <(damaged_log)
    ((${#damaged[@]})) || damaged=("repository file archive/main: the log from ${waits[0]##* } on is missing")
    fault_status=$no_older_helps fault "$1: the log can't be replayed to where the backup ended" "${damaged[@]}"
}

wait_until() { # what for, in words; a query on the database postgres that says t; figures are of its recovery
    local shown=$SECONDS last
    while true; do
        [[ -d /proc/$server ]] || recovery_fault "$1"
        refuse_stuck "$1"
        if pg_isready -q -h "$work" && [[ $(ask postgres "$2") == t ]]; then return; fi
        if ((SECONDS != shown)); then
            shown=$SECONDS
            last=$(last_segment) || last=''
            say "$1${last:+: replayed up to $last}"
        fi
        sleep 0.1
    done
}

# Starts it, and waits until it stands at the manifest's restore point. Nothing else counts as having come there.
recover_to_point() { # folder
    local point
    point=$(jq -r .restore_point "$work/manifest")
    start_server "$@"
    wait_until "recover to $point" "SELECT pg_is_in_recovery() AND pg_get_wal_replay_pause_state() = 'paused'"
    grep -qF "recovery stopping at restore point \"$point\"" "$work/server.log" || fault "recovery stopped elsewhere than at $point" "$(last_words)"
}

# What it holds against the manifest.
compare() {
    local line tables=0 differences=() status=0
    : >"$work/lines"
    exec 7< <({
        printf '\\set ON_ERROR_STOP on\n\\set sums %s\n' "$(jq -r '.sums // "text"' "$work/manifest")"
        cat "$share/session.sql" "$share/count_sequences.sql" "$share/count_tables.sql"
    } | psql -XAtq -h "$work" -d opentranscribe -f - 2>"$work/said")
    while IFS= read -r line <&7; do
        printf '%s\n' "$line" >>"$work/lines"
        if [[ $line == '{"table"'* ]]; then
            tables=$((tables + 1))
            say "compare: $(jq -r '"\(.table), \(.rows) rows"' <<<"$line"); $tables of $(jq '.tables | length' "$work/manifest") tables"
        fi
    done
    wait $! || status=$?
    exec 7<&-
    ((status == 0)) || fault "the restored rows can't be read" "$(grep -m1 -oE 'ERROR: .*' "$work/said" || head -n 1 "$work/said")"
    jq -s --arg label restored -f "$share/manifest.jq" "$work/lines" >"$work/restored"
    mapfile -t differences < <(jq -rn --slurpfile manifest "$work/manifest" --slurpfile restored "$work/restored" -f "$share/compare.jq")
    ((${#differences[@]} == 0)) || fault "the restored rows aren't those of the manifest" "${differences[@]}"
}

# Heap and indexes of the databases that have the extension amcheck; of all, with `--install-missing`. The others are in
# `unchecked` afterwards, but for those that hold nothing of ours.
amcheck() { # further words
    local found=() status=0 name names checked=0 left
    names=$(ask postgres 'SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname')
    mapfile -t names <<<"$names"
    unchecked=()
    for name in "${names[@]}"; do
        if [[ " $* " == *' --install-missing '* || $(ask "$name" "SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'") == 1 ]]; then
            checked=$((checked + 1))
        elif [[ $name != postgres && $name != template1 ]]; then
            unchecked+=("$name")
        fi
    done
    left=${unchecked[*]+"; not of ${unchecked[*]}, without the extension"}
    say "amcheck: heaps and indexes of $checked databases$left"
    ((checked)) || return 0
    pg_amcheck --host "$work" --username postgres --all --jobs 2 --heapallindexed "$@" >"$work/amcheck" 2>"$work/amcheck.said" || status=$?
    ((status)) || return 0
    mapfile -t found < <(sed -nE 's/^(heap table|btree index) "([^"]+)"(.*):$/\1 \2\3/p' "$work/amcheck" | sort -u | head -n 20)
    ((${#found[@]})) || mapfile -t found < <(grep -hE 'ERROR|error:' "$work/amcheck" "$work/amcheck.said" | head -n 5)
    fault "amcheck found damage" "${found[@]}"
}

checksums() { # folder
    local found=() status=0
    say "checksums: every page of the files"
    pg_checksums --check -D "$1" >"$work/checksums" 2>&1 || status=$?
    ((status)) || return 0
    mapfile -t found < <(sed -nE 's/^pg_checksums: error: checksum verification failed in file "([^"]+)", block ([0-9]+).*/file \1, block \2/p' "$work/checksums" | head -n 20)
    ((${#found[@]})) || mapfile -t found < <(tail -n 1 "$work/checksums")
    fault "page checksums are wrong" "${found[@]}"
}
