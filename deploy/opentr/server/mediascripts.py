"""What `media` runs in a service of the app, as the app's user. Each script may be killed anywhere and run again.

$MEDIA_ROOT is the folder `current`, which may be missing for a moment; the others are beside it.
"""

# The lock: what a killed command began there may still be at work.
_BEGIN = """
set -eu
cd "${MEDIA_ROOT%/*}"
exec 9>.lock
flock 9
is_named() { [ -s "$1/.generation" ] && [ "$(cat "$1/.generation")" = "$2" ]; }
holds() { [ -n "$2" ] && { is_named "$1" "$2" || grep -qsxF "$2" "$1/.holds"; }; }
# All tokens that a folder goes by, one in a line.
tokens() {
    if [ -s "$1/.generation" ]; then cat "$1/.generation"; echo; fi
    if [ -e "$1/.holds" ]; then cat "$1/.holds"; fi
}
# It goes by its earlier names too. What is written here has one name only, so no other folder changes with it.
name() {
    if ! is_named "$1" "$2"; then
        tokens "$1" | sort -u >"$1/.naming"
        mv -T "$1/.naming" "$1/.holds"
        printf %s "$2" >"$1/.naming"
        mv -T "$1/.naming" "$1/.generation"
    fi
}
# Out of the way, for good.
keep() {
    mkdir -p aside
    place=aside/$(if [ -s "$1/.generation" ]; then cat "$1/.generation"; else echo unnamed; fi)
    while [ -e "$place" ]; do place=$place.; done
    mv -T "$1" "$place"
}
aside_with() {
    for folder in aside/*; do
        if holds "$folder" "$1"; then printf %s "$folder"; return; fi
    done
}
# Makes the folder beside, which has the token, the one that is called previous. Whose that was is kept.
fetch() {
    found=$(aside_with "$1")
    if [ -n "$found" ]; then
        if [ -e previous ]; then keep previous; fi
        mv -T "$found" previous
    fi
}
exchange() {
    if [ -e current ]; then mv -T current leaving; fi
    mv -T previous current
    settle
}
# Ends an exchange that was cut short.
settle() {
    if [ -e leaving ] && [ ! -e current ]; then
        mv -T leaving current
    elif [ -e leaving ]; then
        mv -T leaving previous
    fi
}
settle
"""
_PREPARE = f"""{_BEGIN}
token=$1 origin=$2 live=$3 before=$4 wanted=$5
case $origin in before) incoming=previous ;; *) incoming=next ;; esac
# How many files of one folder have names by which the other has other files.
clashing() {{
    (cd "$1" && find . -type f ! -path './.*' -exec sh -c '
        other=$1; shift
        for file do
            if [ -e "$other/$file" ] && ! [ "$file" -ef "$other/$file" ]; then echo; fi
        done' sh "$OLDPWD/$2" {{}} +) | wc -l
}}
# Links to all recordings of the folder, which win over those that are there; to nothing that is hidden: our notes, and
# what still comes in.
link() {{ find "$1" -mindepth 1 -maxdepth 1 ! -name '.*' -exec cp -alf -t next {{}} +; }}
gather() {{
    first=current
    for folder in previous aside/*; do
        if holds "$folder" "$wanted" && ! holds "$first" "$wanted"; then first=$folder; fi
    done
    lost=0
    : >held
    for folder in current previous "$first"; do
        if [ -d "$folder" ]; then
            clashes=$(clashing "$folder" "$first")
            if [ "$clashes" != 0 ]; then
                lost=$((lost + clashes))
                if [ "$folder" = previous ]; then : >previous/.keep; fi
            else
                tokens "$folder" >>held
            fi
            link "$folder"
        fi
    done
    sort -u held >next/.holds
    rm held
    echo "$lost"
}}
prepare() {{
    if [ -d current ] && [ ! -s current/.generation ] && [ -n "$live" ]; then name current "$live"; fi
    if [ "$incoming" = next ]; then
        rm -rf next discarded previous/.keep
        mkdir next
    fi
    # The database beside is another one than when this was put there: its rows don't name these files.
    if [ -d previous ] && ! holds previous "$before" && {{ [ -s previous/.generation ] || [ -z "$before" ]; }}; then
        case $origin in
        before) fetch "$before" ;;
        fresh) keep previous ;;
        esac
    fi
    if [ "$origin" = kept ]; then gather; fi
    mkdir -p "$incoming"
    name "$incoming" "$token"
}}
if ! is_named current "$token" && ! is_named "$incoming" "$token"; then prepare; fi
"""
PREPARE = f"{_PREPARE}sync -f .\n"
"""Words: the token, the origin, the tokens of the live database, of the one before, of the wanted one."""
SWAP = f"""{_PREPARE}
if ! is_named current "$token"; then
    if [ "$incoming" = previous ]; then
        exchange
    else
        if [ -e current ] && [ -e previous/.keep ]; then
            keep previous
        elif [ -e current ] && [ -e previous ]; then
            rm -rf discarded
            mv -T previous discarded
        fi
        if [ -e current ]; then mv -T current previous; fi
        mv -T next current
    fi
fi
sync -f .
"""
"""Begun again after any of its lines it ends the same. Words: as above."""
PLACE = f"""{_BEGIN}
token=$1
if ! holds current "$token" && ! holds previous "$token"; then fetch "$token"; fi
if holds current "$token"; then
    echo same
elif holds previous "$token"; then
    exchange
    sync -f .
    echo changed
elif [ -d current ] && [ ! -s current/.generation ] && [ ! -e previous ]; then
    echo same # there has been one generation only, which nobody had to name
else
    echo unknown
fi
"""
"""Word: the token."""
DISCARD = """
set -eu
cd "${MEDIA_ROOT%/*}"
exec 9>.lock
flock 9
rm -rf discarded
"""
ASIDE = """
set -eu
cd "${MEDIA_ROOT%/*}"
for folder in aside/*; do
    if [ -d "$folder" ]; then
        stat -c %Z "$folder"
        find "$folder" -type f ! -name '.*' -links 1 -printf '%s\\n' |
            awk '{ bytes += $1 } END { printf "%d %.0f\\n", NR, bytes }'
        basename "$folder"
    fi
done | paste -d ' ' - - -
"""
"""Of each folder that was put aside: since when, how many files that are nowhere else, their bytes, its name."""
FORGET = """
set -eu
cd "${MEDIA_ROOT%/*}"
exec 9>.lock
flock 9
rm -rf discarded
if [ -d "aside/$1" ]; then
    mv -T "aside/$1" discarded
    rm -rf discarded
fi
"""
"""Word: the name of a folder that was put aside. Half a folder never has that name."""
