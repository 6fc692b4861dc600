#!/usr/bin/env bash
# Writes the lock files from pyproject.toml's groups, the same versions in all of them. Versions that are locked
# already stay as they are; `--upgrade` takes the newest, `--upgrade-package NAME` one of them.
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")/.."

lock() { # group, file, further options: compiles the group into the file
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
        --group "pyproject.toml:$1" --output-file "$2" "${@:3}"
}

lock dev deploy/requirements-dev.txt "$@"
lock deploy deploy/requirements.txt "$@" --constraints deploy/requirements-dev.txt
lock embedded deploy/requirements-embedded.txt "$@" --constraints deploy/requirements-dev.txt
lock backend backend/requirements.txt "$@" --constraints deploy/requirements-dev.txt
lock worker backend/requirements-worker.txt "$@" --constraints deploy/requirements-dev.txt
