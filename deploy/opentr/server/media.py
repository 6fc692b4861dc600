"""The media files' folder: `current` is the live generation, `previous` the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

# The lock: what a killed command began in the container may still be removing files.
_PREPARE = """
set -eu
cd /srv/media
exec 9>.lock
flock 9
is_named() { [ -e "$1/.generation" ] && [ "$(cat "$1/.generation")" = "$token" ]; }
prepare() {
    if [ "$fresh" = fresh ]; then rm -rf previous; fi
    mkdir -p previous
    printf %s "$token" >previous/.generation
}
token=$1 fresh=$2
if ! is_named current && ! is_named previous; then prepare; fi
"""
# Begun again after any of its lines it ends the same.
_SWAP = f"""{_PREPARE}
if ! is_named current; then
    if [ -e current ]; then mv -T current leaving; fi
    mv -T previous current
fi
if [ -e leaving ]; then mv -T leaving previous; fi
sync -f .
"""


def prepare(runtime: Runtime, token: str, *, fresh: bool) -> None:
    """Name the other folder `token`, emptied if it is to be `fresh`, which may take a while. Raises ProcessFailed."""
    _run(runtime, _PREPARE, token, fresh=fresh)


def swap(runtime: Runtime, token: str, *, fresh: bool) -> None:
    """Make the other folder the live one, prepared if it isn't, unless it is live already. Raises ProcessFailed."""
    _run(runtime, _SWAP, token, fresh=fresh)


def _run(runtime: Runtime, script: str, token: str, *, fresh: bool) -> None:
    """Run a script as the app's user, in a service of the app if one runs, which is quicker than a new container."""
    argv = ["sh", "-c", script, "sh", token, "fresh" if fresh else "kept"]
    running = {service.service for service in runtime.services() if service.state == "running"}
    service = next((service for service in ("api", "worker") if service in running), None)
    if service:
        runtime.run_in(service, argv)
    else:
        runtime.run_once("migrate", argv)
