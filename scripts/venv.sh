#!/usr/bin/env bash
# Makes or refreshes .venv from the hash-locked requirements: what ./opentr.sh needs, or with `dev` as its argument also
# what lint and tests need. A dev environment serves ./opentr.sh too and stays one. Starts no Python when nothing is to
# be done, because every ./opentr.sh waits for it.
#
# Environments are built in .cache/venv/ and .venv is a link to the one that is complete: an interrupted build is never
# taken for a whole one, and a process that runs from the old one keeps its files. The folder's name is a digest of what
# it was made from: lock file, this script, interpreter, and the checkout's path, which a venv's scripts carry inside.
set -euo pipefail
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

say() { printf 'opentr: %s\n' "$1" >&2; }

fail() { # what happened, what to type next
    printf '%s\n%s\n' "$1" "$2" >&2
    exit 1
}

choose_lock() { # sets kind and lock, by the argument and by what .venv is now
    kind=run lock=deploy/requirements.txt
    if [[ $wanted == dev || (-L .venv && $(readlink .venv) == */dev-*) ]]; then
        kind=dev lock=deploy/requirements-dev.txt
    fi
}

folder_for() { # interpreter: prints the folder of the environment that it makes
    local digest
    digest=$({ printf '%s\n' "$PWD" "$1" && cat -- "$lock" scripts/venv.sh; } | sha256sum)
    printf '.cache/venv/%s-%s' "$kind" "${digest:0:16}"
}

is_current() {
    choose_lock
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
build() { # in $1: an environment that sees both packages of this checkout
    rm -rf -- "$1" "$log"
    logged "$python" -I -m venv "$1"
    logged "$1/bin/python" -I -m pip install --disable-pip-version-check --no-input --only-binary :all: \
        --require-hashes --requirement "$lock"
    logged "$1/bin/python" -I -m pip check --disable-pip-version-check
    logged "$1/bin/python" -I -c 'import click, sqlalchemy, psycopg2'
    printf '%s\n' "$PWD/backend" "$PWD/deploy" >"$(echo "$1"/lib/python3*/site-packages)/opentr.pth"
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
        say "installing the Python packages of $lock into .venv (a minute, once) ..."
        build "$folder"
        touch "$folder/complete"
    fi
    if [[ -L .venv ]]; then previous=$(readlink .venv); fi
    ln -sfn -- "$folder" .cache/venv/link
    mv -fT -- .cache/venv/link .venv
    drop_all_but "$folder" "$previous"
}

trap 'exit 130' INT # pip answers Ctrl-C with an ordinary failure, which would be reported as one
wanted=${1:-run} log=.cache/venv/install.log
[[ $wanted == run || $wanted == dev ]] || { echo "usage: scripts/venv.sh [dev]" >&2 && exit 2; }
if is_current; then exit; fi
[[ -w . ]] || fail "$PWD can not be written by $(id -un): its .venv is made here." "Type: sudo chown -R $(id -un) '$PWD'"
[[ -L .venv || ! -e .venv ]] || fail "$PWD/.venv was not made by this script." "Type: mv '$PWD/.venv' '$PWD/.venv.old'"
check_owner
mkdir -p .cache/venv
exec 9>.cache/venv/lock
flock --nonblock 9 || { say "waiting for another call that is installing Python packages ..." && flock 9; }
if ! is_current; then refresh; fi
