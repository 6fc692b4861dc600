"""The media files' folder: `current` is the live generation, `previous` the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

_PREPARE = """
set -eu
cd /srv/media
if [ "$2" = fresh ]; then rm -rf previous; fi
mkdir -p previous
printf %s "$1" >previous/.generation
"""
# Begun again after any of its lines it ends the same.
_SWAP = """
set -eu
cd /srv/media
is_wanted() { [ -e "$2/.generation" ] && [ "$(cat "$2/.generation")" = "$1" ]; }
if ! is_wanted "$1" current; then
    is_wanted "$1" previous || { echo "there is no generation $1" >&2; exit 1; }
    if [ -e current ]; then mv -T current leaving; fi
    mv -T previous current
fi
if [ -e leaving ]; then mv -T leaving previous; fi
sync -f .
"""


def prepare(runtime: Runtime, token: str, *, fresh: bool) -> None:
    """Name the other folder `token`, emptied if it is to be `fresh`. Raises ProcessFailed."""
    _run(runtime, _PREPARE, token, "fresh" if fresh else "as it is")


def swap(runtime: Runtime, token: str) -> None:
    """Make the folder named `token` the live one, unless it is. Raises ProcessFailed."""
    _run(runtime, _SWAP, token)


def _run(runtime: Runtime, script: str, *words: str) -> None:
    """Run a script as the app's user, in a service of the app if one runs, which is quicker than a new container."""
    argv = ["sh", "-c", script, "sh", *words]
    running = {service.service for service in runtime.services() if service.state == "running"}
    service = next((service for service in ("api", "worker") if service in running), None)
    if service:
        runtime.run_in(service, argv)
    else:
        runtime.run_once("migrate", argv)
