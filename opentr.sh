#!/usr/bin/env bash
# Bootstrap of the ops tool: makes or refreshes .venv from the hash-locked requirements, then hands over to Python.
# Works from any directory and through a symlink. Everything else is in deploy/opentr.
set -euo pipefail

home=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
"$home/scripts/venv.sh"
# We have no plugins of pydantic's, and to look for them takes a tenth of the tool's start.
export PYDANTIC_DISABLE_PLUGINS=__all__
# -I: neither the directory it is called from nor PYTHONPATH can put another module in front of ours.
exec "$home/.venv/bin/python" -I -m opentr "$@"
