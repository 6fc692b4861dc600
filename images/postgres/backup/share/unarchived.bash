# shellcheck shell=bash
# The end of the log that the archive hasn't got: where archiving failed, or Postgres ended before it came to that, it is
# in the live cluster's folder alone. Sourced after progress.bash and restored.bash.
# shellcheck disable=SC2154 # what progress.bash has
unarchived=() aside=opentr.unarchived
# shellcheck disable=SC2034 # restore_cluster gives it to Postgres, which runs it in its folder
take_back_unarchived="[ ! -d $aside ] || { cp -R --no-clobber $aside/. pg_wal/ && sync -f pg_wal && rm -r $aside; }"

# Whether a file is the piece of this system's log that its name says. Others are old pieces, which Postgres keeps under
# names to come; or of another system, whose place this one had taken.
is_piece() { # file, the system's identifier
    local name=${1##*/} start header=()
    start=$(((16#${name:8:8} << 32) + 16#${name:16:8} * $(stat -c %s "$1")))
    mapfile -t header < <(od -An -v -t u8 -w8 -j 8 -N 24 "$1" | tr -d ' ') # address, and the system's identifier
    [[ ${header[0]-} == "$start" && ${header[2]-} == "$2" ]]
}

# Sets `unarchived`: the pieces of the log that wait for the archive, the one that was written to last, and the histories
# of their timelines.
find_unarchived() { # the live cluster's folder, the system's identifier
    local file name timelines=' '
    unarchived=()
    [[ -d $1/pg_wal ]] || return 0
    for file in "$1"/pg_wal/*; do
        name=${file##*/}
        if [[ $name =~ ^[0-9A-F]{24}$ && ! -e $1/pg_wal/archive_status/$name.done ]] && is_piece "$file" "$2"; then
            unarchived+=("$file") timelines+="${name:0:8} "
        fi
    done
    for file in "$1"/pg_wal/*.history; do
        name=${file##*/}
        [[ $timelines != *" ${name%.history} "* ]] || unarchived+=("$file")
    done
}

# Gives them to a restored cluster: for its recovery, to which the archive comes first; and aside those that it is to put
# into the archive, as Postgres removes what a recovery is done with, archived or not. It takes them back at its end.
give_unarchived() { # the restored cluster's folder
    local file name status bytes
    ((${#unarchived[@]})) || return 0
    bytes=$(stat -c %s "${unarchived[@]}" | jq -s add)
    fault_status=$no_older_helps require_room "$1" $((2 * bytes))
    say "the log that isn't archived: $(size "$bytes") in ${#unarchived[@]} files"
    mkdir -p "$1/pg_wal" "$1/$aside/archive_status"
    for file in "${unarchived[@]}"; do
        name=${file##*/} status=${file%/*}/archive_status
        cp --reflink=auto -- "$file" "$1/pg_wal/$name"
        if [[ -e $status/$name.ready ]]; then
            cp --reflink=auto -- "$file" "$1/$aside/$name"
            : >"$1/$aside/archive_status/$name.ready"
        fi
    done
}

# The timeline that the recovery follows: `timeline`, or the newest of which there is a history.
followed() { # the restored cluster's folder
    local file newest=00000001
    if [[ $timeline != latest ]]; then
        printf '%08X' "$timeline"
        return
    fi
    for file in "$1"/pg_wal/*.history; do
        [[ ! -e $file ]] || newest=${file##*/}
    done
    printf '%s' "${newest%.history}"
}

# The piece of the log in which recovery stands, without its timeline.
replayed_piece() { # the restored cluster's folder
    local last
    last=$(ask postgres "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint - 1")
    printf '%08X%08X' $((last >> 32)) $(((last & 0xFFFFFFFF) / $(controldata "$1" 'Bytes per WAL segment')))
}

# What the live cluster says it wrote must be there: up to its last checkpoint, which is its very end where Postgres was
# stopped. A header of the log's page, 40 bytes, is all that may lie between that and what was archived before it.
refuse_loss() { # the live cluster's folder, the restored one's
    local state end own followed history missing=''
    LC_ALL=C pg_controldata "$1" >"$work/control" 2>"$work/control.said" || return 0
    [[ ! -s $work/control.said ]] || return 0 # it is damaged: it says nothing
    state=$(controldata "$1" 'Database cluster state')
    # What else it says is of a recovery from the archive: it wrote nothing of its own.
    [[ $state == 'shut down' || $state == 'shutting down' || $state == 'in production' || $state == 'in crash recovery' ]] || return 0
    [[ $(controldata "$1" 'Database system identifier') == "$(controldata "$2" 'Database system identifier')" ]] || return 0
    end=$(controldata "$1" 'Latest checkpoint location') own=$(controldata "$1" "Latest checkpoint's TimeLineID")
    followed=$(followed "$2")
    if ((own != 16#$followed)); then
        history=$2/pg_wal/$followed.history
        [[ ! -e $history ]] || missing=$(awk -v timeline="$own" '$1 == timeline { print $2 }' "$history")
        [[ -n $missing && $(ask postgres "SELECT '$missing'::pg_lsn >= '$end'") == t ]] ||
            fault_status=$no_older_helps fault "the log leads to another timeline than the live cluster's: $((16#$followed)), not $own" "$1"
    fi
    missing=$(ask postgres "SELECT greatest((pg_lsn '$end' - pg_last_wal_replay_lsn())::bigint, 0)")
    ((missing <= 40)) || fault_status=$no_older_helps fault "the log can't be replayed to its end: $(size "$missing") of what was written are missing" \
        "the log after ${followed}$(replayed_piece "$2") is neither in the archive nor in $1/pg_wal"
}
