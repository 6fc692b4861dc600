"""The media files' folder: `current` is the live generation, `previous` the one before, `next` one to come.

A database that was restored names the files that are there: its generation gets the same files again, as further names
(hard links), which takes no room. So whoever writes a file writes it beside its place and renames it: one that was
overwritten in place would change in both generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

Origin = Literal["fresh", "kept", "before"]
"""Where the files of what becomes live come from: there are none, those of the live one, those of the one before."""
# The lock: what a killed command began in the container may still be removing files.
_PREPARE = """
set -eu
cd /srv/media
exec 9>.lock
flock 9
is_named() { [ -e "$1/.generation" ] && [ "$(cat "$1/.generation")" = "$token" ]; }
prepare() {
    if [ "$incoming" = next ]; then rm -rf next discarded; fi
    if [ "$origin" = kept ] && [ -e current ]; then cp -al current next && rm -f next/.generation; fi
    mkdir -p "$incoming"
    printf %s "$token" >"$incoming/.generation"
}
token=$1 origin=$2
case $origin in before) incoming=previous ;; *) incoming=next ;; esac
if ! is_named current && ! is_named "$incoming"; then prepare; fi
"""
# Begun again after any of its lines it ends the same.
_SWAP = f"""{_PREPARE}
if ! is_named current; then
    if [ -e current ] && [ "$incoming" = next ]; then
        if [ -e previous ]; then rm -rf discarded && mv -T previous discarded; fi
        mv -T current previous
    elif [ -e current ]; then
        mv -T current leaving
    fi
    mv -T "$incoming" current
fi
if [ -e leaving ]; then mv -T leaving previous; fi
sync -f .
"""
_DISCARD = """
cd /srv/media
exec 9>.lock
flock 9
rm -rf discarded
"""


def prepare(runtime: Runtime, token: str, origin: Origin) -> None:
    """Name the folder that is to become live `token`, with the files of its origin. Raises ProcessFailed."""
    _run(runtime, _PREPARE, token, origin)


def swap(runtime: Runtime, token: str, origin: Origin) -> None:
    """Make that folder the live one, prepared if it isn't, unless it is live already. Raises ProcessFailed."""
    _run(runtime, _SWAP, token, origin)


def discard(runtime: Runtime) -> None:
    """Remove the folder that a swap has put out of the way, which may take a while. Raises ProcessFailed."""
    _run(runtime, _DISCARD)


def _run(runtime: Runtime, script: str, *words: str) -> None:
    """Run a script as the app's user, in a service of the app if one runs, which is quicker than a new container."""
    argv = ["sh", "-c", script, "sh", *words]
    running = {service.service for service in runtime.services() if service.state == "running"}
    service = next((service for service in ("api", "worker") if service in running), None)
    if service:
        runtime.run_in(service, argv)
    else:
        runtime.run_once("migrate", argv)
