#!/usr/bin/env bash
# What `make lint` checks. Every check runs, whichever fails before it; the exit code is 1 if any did.
set -euo pipefail
cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

failed=()

check() { # name, command: runs it and remembers the name of what failed
    printf '== %s\n' "$1"
    "${@:2}" || failed+=("$1")
}

locks_without_address() { # a lock file that names a registry ties every user to it
    ! grep -nE '://|^ *-(i|f) |--(extra-)?index-url|--find-links' backend/requirements*.txt deploy/requirements*.txt
}

mapfile -d '' shell_scripts < <(find . -path ./.cache -prune -o \( -name '*.sh' -o -path './.ci/run' -o -path './images/*/hold_pause' -o -path './images/*/install-packages' -o -path './images/postgres/backup/bin/*' -o -name '*.bash' \) -type f -print0)

check "ruff check" .venv/bin/ruff check --quiet .
check "ruff format" .venv/bin/ruff format --quiet --check .
check "import rules" .venv/bin/lint-imports --no-logo --cache-dir .cache/import-linter
check "shellcheck" .venv/bin/shellcheck --external-sources --enable=all --exclude=SC2250,SC2310,SC2312 "${shell_scripts[@]}"
check "migrations" ./opentr.sh db lint
check "lock files" locks_without_address

if ((${#failed[@]})); then
    printf 'lint: failed: %s\n' "$(IFS=, && echo "${failed[*]}")" >&2
    exit 1
fi
