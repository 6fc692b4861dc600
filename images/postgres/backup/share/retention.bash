# shellcheck shell=bash
# What goes from the repository: what retention wants gone, but never the newest proven backup, nor what a restore of it
# reads. Sourced after progress.bash.
#
# pgBackRest can't be told to keep a backup. Where retention wants none of those that we keep, its `expire` does all of
# it. Where it does, the others go one by one, and the log is cleared here: of a backup that is older than retention
# pgBackRest keeps the log of the copy alone, and a proven restore goes on to the restore point, which comes later.
# shellcheck disable=SC2154 # what progress.bash has
expired=''

# The labels with a good receipt, as a JSON array. A receipt that can't be read is none.
proven() {
    find "$repository/receipts" -name '[0-9]*.json' -exec cat {} + | jq -cRn '[inputs | fromjson? | select(.ok == true) | .label]'
}

# The labels that retention wants gone, as a JSON array.
overdue() {
    pgbackrest --stanza=main --dry-run --log-level-console=info --log-level-stderr=warn expire >"$work/expire"
    jq -cRn '[inputs | select(test("expire (full|diff) backup")) | scan("[0-9]{8}-[0-9]{6}F(?:_[0-9]{8}-[0-9]{6}[DI])?")] | unique' "$work/expire"
}

decide() { # what is due, a JSON array; null: what has broken pages
    local trusted
    trusted=$(proven)
    catalogue >"$work/info"
    jq --argjson due "$1" --argjson proven "$trusted" -f /usr/local/share/opentr/retention.jq "$work/info" >"$work/going"
}

# Removes what was decided, and leaves the log alone.
remove_sets() {
    local label
    for label in $(jq -r '.roots[]' "$work/going"); do
        backrest "expire" 0 --set="$label" --repo1-retention-archive=9999999 expire || backrest_fault "old backups could not be removed"
    done
}

# What we keep beside the backups that went.
forget() {
    local label
    for label in $(jq -r '.going[]' "$work/going"); do
        rm -f -- "$repository/manifests/$label.json" "$repository/receipts/$label.json"
        expired+="$label"$'\n'
    done
}

# The log before the oldest full backup of retention goes, but for what a backup from before needs up to its restore point.
clear_log() { # the labels that retention wants gone
    local floor segments ranges
    floor=$(jq -r --argjson due "$1" '[.[0].backup[] | select(.type == "full") | select(.label | IN($due[]) | not) | .archive.start] | min' "$work/info")
    [[ $floor =~ ^[0-9A-F]{24}$ ]] || fault "the log isn't cleared: the oldest full backup that retention keeps isn't known"
    segments=$(find "$repository/manifests" -name '[0-9]*.json' -exec jq -c '{(.label): .segment}' {} + | jq -cs 'add // {}')
    ranges=$(jq -c --argjson segments "$segments" '[.[0].backup[] | [.archive.start, ([.archive.stop, $segments[.label] // ""] | max)]]' "$work/info")
    find "$repository/archive/main" -mindepth 3 -maxdepth 3 -type f -regextype posix-extended -regex '.*/[0-9A-F]{24}[^/]*' |
        jq -Rr --arg floor "$floor" --argjson ranges "$ranges" '
            (split("/")[-1][:24]) as $segment
            | select($segment < $floor and (any($ranges[]; .[0] <= $segment and $segment <= .[1]) | not))' >"$work/log"
    [[ -s $work/log ]] || return 0
    say "expire: $(wc -l <"$work/log") files of the log before $floor"
    xargs --delimiter='\n' rm -f -- <"$work/log"
}

# Backups with broken pages on which nothing builds, except the newest one. They count as any other for retention: one of
# them would drive out a good one.
drop_broken() {
    decide null
    remove_sets
    forget
}

# The labels that went are in `expired`, a line for each.
expire() {
    local due held
    drop_broken
    due=$(overdue)
    decide "$due"
    held=$(jq -r '.held | join(" ")' "$work/going")
    [[ $due != '[]' ]] || return 0
    if [[ -z $held ]]; then
        backrest "expire" 0 expire || backrest_fault "old backups could not be removed"
    else
        say "expire: ${held%% *} stays, though its time is over: no newer one is proven; prove one: ./opentr.sh backup verify"
        remove_sets
        catalogue >"$work/info"
        clear_log "$due"
    fi
    forget
}
