#!/usr/bin/env bash
# Makes sure that a Docker engine answers that our Compose files run on: engine 25, Compose 2.24 or newer, buildx. One
# that is there is used. Otherwise, with --install or CI=true, as root on Debian, it is installed from the mirror that this
# machine's apt uses, and started. Where that can't be, it says what to type and that container tests are left out, which
# with CI=true is a failure.
set -euo pipefail
log=/var/log/dockerd.log

say() { printf '%s\n' "$@" >&2; }

fail() { # what happened, what to type next
    say "$@"
    if [[ -n $installing || ${CI:-} == true ]]; then exit 1; fi
    say "Tests that need containers are left out."
    exit 0
}

at_least() { # version, oldest: by their numbers
    [[ $1 =~ ^v?[0-9]+\.[0-9] ]] && printf '%s\n' "$2" "${1#v}" | sort --check=quiet --version-sort
}

flaw() { # prints what hinders, if anything
    local version
    [[ -n $(type -P docker) ]] || { echo "Docker is not installed." && return; }
    if ! version=$(docker version --format '{{.Server.Version}}' 2>&1); then
        echo "No Docker engine answers: ${version##*$'\n'}"
    elif ! at_least "$version" 25; then
        echo "The Docker engine is $version, and 25 or newer is needed."
    elif ! version=$(docker compose version --short 2>&1) || ! at_least "$version" 2.24; then
        echo "$(type -P docker) has no Compose 2.24 or newer."
    elif ! version=$(docker buildx version 2>&1); then
        echo "$(type -P docker) has no buildx."
    fi
}

mirror() { # release: where apt finds it, if it does
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v name="$1" '$1 == name && $2 == "main" && !seen++ { print $3 }'
}

candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" { sub(/^[0-9]+:/, "", $2); print $2 }'; }

know_trixie() { # adds Debian 13 to apt, from which nothing is taken unasked
    local main
    [[ -z $(mirror trixie) ]] || return 0
    main=$(mirror "$VERSION_CODENAME")
    [[ -n $main ]] || fail "apt knows no mirror of Debian's $VERSION_CODENAME." "Add one to /etc/apt/sources.list.d and try again."
    printf '%s\n' 'Package: *' 'Pin: release n=trixie' 'Pin-Priority: 100' >/etc/apt/preferences.d/opentr-trixie
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $main trixie main" \
        >/etc/apt/sources.list.d/opentr-trixie.list
    apt-get update
}

add() { DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends --no-remove "$@"; }

install_engine() {
    apt-get update
    # This release's own engine comes first: with its containerd and runc, a newer engine needs no newer C library.
    add docker.io iptables debootstrap ca-certificates
    if at_least "$(candidate docker.io)" 25; then
        add docker-cli docker-compose docker-buildx
    else
        know_trixie
        add --target-release trixie docker.io docker-cli docker-compose docker-buildx
    fi
}

drop_stale() { # what engines that were not ended properly leave behind, and what would stop the next one
    local file program running
    running=$(cat /proc/[0-9]*/comm 2>>"$log") # a process may have ended meanwhile
    for program in dockerd:/run/docker.pid containerd:/run/docker/containerd/containerd.pid; do
        file=${program#*:}
        if [[ -s $file && $(cat "/proc/$(<"$file")/comm" 2>>"$log") != "${program%:*}" ]]; then rm -- "$file"; fi
    done
    if [[ -S /run/containerd/containerd.sock && $'\n'$running$'\n' != *$'\ncontainerd\n'* ]]; then
        rm /run/containerd/containerd.sock
    fi
}

start_engine() { # with systemd, or detached from us
    local pid deadline=$((SECONDS + 120))
    if [[ -d /run/systemd/system ]]; then systemctl start docker && return; fi
    drop_stale
    say "Starting dockerd, which writes to $log ..."
    # Docker has some 30 networks to give unless told; each environment takes four, and tests run several.
    setsid dockerd --default-address-pool base=10.200.0.0/14,size=24 >>"$log" 2>&1 </dev/null &
    pid=$!
    until docker version >>"$log" 2>&1; do
        if [[ ! -e /proc/$pid ]] || ((SECONDS > deadline)); then
            tail -n 5 "$log" >&2
            fail "dockerd did not start." "Read $log"
        fi
        sleep 0.3
    done
}

startable() { # a dockerd that is good enough is there
    [[ -n $(type -P dockerd) ]] && at_least "$(dockerd --version | sed -E 's/^[^0-9]*([0-9.]+).*/\1/')" 25
}

installing=''
case ${1:-} in
    --install) installing=yes ;;
    '') ;;
    *) say "usage: scripts/docker_engine.sh [--install]" && exit 2 ;;
esac
found=$(flaw)
[[ -n $found ]] || exit 0
ID='' VERSION_CODENAME=''
# shellcheck source=/dev/null
. /etc/os-release
[[ $ID == debian ]] || fail "$found" "Install Docker 25 or newer with its Compose and buildx plugins as your system does it."
[[ $found != *"ermission denied"* ]] || fail "$found" "Type: sudo usermod --append --groups docker $(id -un); and log in anew."
if [[ -z $installing && ${CI:-} != true ]] || ((EUID != 0)); then fail "$found" "Type: sudo $0 --install"; fi
say "$found"
if [[ $found == "No Docker engine"* ]] && startable; then start_engine && found=$(flaw); fi
if [[ -n $found ]]; then
    say "Installing Docker from Debian's packages ..."
    install_engine >&2
    found=$(flaw)
    if [[ $found == "No Docker engine"* ]]; then start_engine && found=$(flaw); fi
fi
case $found in
    '') ;;
    "The Docker engine is"*) fail "$found" "The new one is installed: stop the one that runs, and try again." ;;
    *) fail "$found" "Clients on PATH, of which the first is used: $(type -aP docker | paste -sd ' '). Debian's is /usr/bin/docker." ;;
esac
