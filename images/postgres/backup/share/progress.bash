# shellcheck shell=bash
# What the backup programs share: their words, their lock, and pgBackRest. Sourced.
#
# Their standard output is for the tool: lines `progress: ...` with figures, and as the last line one JSON document. A
# program that fails and knows why ends with {"fault": what happened, "object": with which, "objects": with which others}.
repository=/var/lib/pgbackrest
hold=$repository/lock/hold hold_most=3600
lock_seconds=${LOCK_SECONDS:-1800}
child='' trouble=()
work=$(mktemp -d)

say() { printf 'progress: %s\n' "$*"; }

fault() { # what happened, the objects that it happened to; ends with `fault_status`, by default 1
    local what=$1
    shift
    jq -cn --arg fault "$what" '{fault: $fault} + if $ARGS.positional == [] then {} else {object: $ARGS.positional[0], objects: $ARGS.positional} end' \
        --args -- "$@"
    exit "${fault_status:-1}"
}

now() { printf '%s' "${EPOCHREALTIME/[.,]/}"; } # in microseconds

since() { # a start by `now`: seconds with milliseconds
    local span=$((($(now) - $1) / 1000))
    printf '%d.%03d' $((span / 1000)) $((span % 1000))
}

size() { numfmt --to=si --suffix=B --format=%.1f -- "$1"; } # bytes in words

# A program that is told to end tells the one that works for it, and waits for it.
end_early() {
    trap '' TERM INT HUP
    if [[ -n $child ]] && kill -0 "$child"; then
        kill -TERM "$child"
        wait "$child" || :
    fi
    exit 143
}
trap end_early TERM INT HUP
trap 'rm -rf "$work"' EXIT

# One backup program changes the repository at a time. The lock's file says which; a child that outlives us still holds it.
# Who waits gives up in the end: a backup that hangs would stop every deploy for ever.
take_lock() { # who we are, in words
    local file=$repository/lock/opentr.lock start=$SECONDS
    mkdir -p "${file%/*}"
    exec 9>>"$file"
    until flock --timeout "$((lock_seconds < 5 ? lock_seconds : 5))" 9; do
        say "waiting for $(<"$file")"
        ((SECONDS - start < lock_seconds)) || fault "locked" "$(<"$file")"
    done
    printf '%s since %(%F %T)T UTC\n' "$1" -1 >"$file"
}

# Whether the schedule may begin nothing now (hold_schedule). A time that is too far off is the clock's fault.
held() {
    local end=0
    [[ ! -f $hold ]] || end=$(<"$hold")
    [[ $end =~ ^[0-9]+$ ]] && ((end > EPOCHSECONDS && end <= EPOCHSECONDS + hold_most))
}

# Runs pgBackRest with its log as progress. Fails as it does; what it had to say then is in `trouble`, line by line.
backrest() { # what it does, bytes in all (0: not known), its words
    local what=$1 bytes=$2 line shown=-1 percent status=0
    shift 2
    trouble=()
    exec 8< <(exec pgbackrest --stanza=main --log-level-console=detail --log-level-stderr=off "$@" 2>&1)
    child=$!
    while IFS= read -r line <&8; do
        if [[ $line == *' ERROR: '* || ($line != [0-9]* && ${#trouble[@]} -gt 0) ]]; then
            trouble+=("${line#*ERROR: }")
        elif [[ $line =~ \ ([0-9]+)(\.[0-9]+)?%\) ]] && ((SECONDS != shown)); then
            shown=$SECONDS percent=${BASH_REMATCH[1]}
            if ((bytes)); then
                say "$what: $(size $((bytes * percent / 100))) of $(size "$bytes")"
            else
                say "$what: $percent %"
            fi
        elif [[ $line == *' WARN: '* ]]; then
            say "$what: ${line#*WARN: }"
        fi
    done
    wait "$child" || status=$?
    child=''
    exec 8<&-
    return "$status"
}

# The repository's files of a backup that aren't as they were written, a line each: what pgBackRest doesn't tell when it can't read one.
damaged_files() { # label
    pgbackrest --stanza=main --set="$1" --output=none --log-level-console=info verify >"$work/verified" 2>&1 ||
        say "pgbackrest verify: $(tail -n 1 "$work/verified")" >&2
    sed -nE "s/^.*INFO: (invalid checksum|invalid size|file missing|missing)[^']*'([^']+)'.*/repository file \\2: \\1/p" "$work/verified" | sort -u
}

# pgBackRest failed: its first line of trouble, and the files that it names.
backrest_fault() { # what failed, in words
    local line files=()
    for line in "${trouble[@]}"; do
        while [[ $line =~ (/var/lib/[^\'\":,\ ]+)(.*) ]]; do
            files+=("file ${BASH_REMATCH[1]}") line=${BASH_REMATCH[2]}
        done
    done
    fault "$1: ${trouble[0]:-pgBackRest ended without a word}" "${files[@]}"
}

catalogue() { pgbackrest --stanza=main info --output=json; }

# Needs room for so many bytes, with a tenth and the log on top.
require_room() { # folder, bytes
    local need=$(($2 * 11 / 10 + 268435456)) there
    there=$(df --output=avail -B1 "$1" | tail -n 1)
    ((there >= need)) || fault "room" "$1: $(size "$need") are needed, and $(size "$there") are free"
}

# Writes standard input to a file, whole or not at all.
keep() { # file
    local new
    mkdir -p "${1%/*}"
    new=$(mktemp "${1%/*}/.new.XXXXXX")
    cat >"$new"
    sync "$new"
    mv -- "$new" "$1"
    sync "${1%/*}"
}
