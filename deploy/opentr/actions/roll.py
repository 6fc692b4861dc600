"""Putting a release in the place of what runs. It may be called again after it was cut short anywhere.

What is to run is described by files in the state; which containers aren't as described, Compose knows. So there is
nothing to remember: install the files, then bring up what differs, data services first, Postgres behind a paused pool.
"""

from __future__ import annotations

import http.client
import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import credentials, ui
from opentr.actions import environment as environments
from opentr.actions import releases, restart, services, start
from opentr.errors import OpentrError
from opentr.errors.services import ServiceUnhealthy
from opentr.runtimes.base import INFRA
from opentr.runtimes.images import image_of

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release

PROXY_PORT = 8080
"""Of the proxy's container."""
SMOKE_SECONDS = 60.0
"""The API is healthy by then; the proxy asks it every half second, and needs one good answer."""
_ANSWER_SECONDS = 5.0
_AGAIN_SECONDS = 0.25


def to(environment: Environment, release: Release) -> list[str]:
    """Bring up this release; returns the services that were replaced. Raises ServiceUnhealthy, PortTaken, ..."""
    runtime = environment.runtime
    wanted = [name for name in services.known(environment.name) if name in release.services]
    _stop_strangers(environment, release)
    install(environment, release)
    environment.state.write(start.STARTED_RECORD, {"services": sorted(wanted)})
    stale = runtime.outdated()
    if restart.POSTGRES in stale:
        with ui.step("replace postgres, while its clients wait"):
            restart.behind_pause(environment, partial(runtime.up, [restart.POSTGRES]))
    runtime.up([name for name in wanted if name in INFRA])
    runtime.up([name for name in wanted if name not in INFRA])
    return stale


def install(environment: Environment, release: Release) -> None:
    """Let the state describe this release; nothing is started."""
    secrets = credentials.ensure(environment.state)
    rendered = environments.rendered(environment, secrets, release.images)
    own = {name: text for name, text in rendered.items() if name.startswith("secrets/")}
    environment.state.install(release.files | own)
    environment.state.write(environments.IMAGES_RECORD, {"images": release.images})


def smoke(environment: Environment, release: Release) -> dict[str, Any]:
    """Ask through the proxy, as a client does, until the API of this release answers that it is ready.

    Raises ServiceUnhealthy if it doesn't within SMOKE_SECONDS, or if a service runs another image.
    """
    _refuse_others(environment, release)
    address = environment.runtime.address("proxy", PROXY_PORT)
    until, said = time.monotonic() + SMOKE_SECONDS, "the proxy isn't to be reached"
    while address and time.monotonic() < until:
        said = _fault(address, release)
        if not said:
            return {"asked": f"http://{address}/ready", "version": release.version}
        ui.show(said)
        time.sleep(_AGAIN_SECONDS)
    raise ServiceUnhealthy("proxy", f"doesn't lead to {release}: {said}", (), environment.name)


def _refuse_others(environment: Environment, release: Release) -> None:
    """Raises ServiceUnhealthy for a service that runs another image: two releases may have the same version."""
    for each in environment.runtime.services():
        wanted = release.images.get(image_of(each.service))
        if each.service in release.services and each.image != wanted:
            raise ServiceUnhealthy(each.service, f"runs {each.image}, and {release} has {wanted}", (), environment.name)


def _fault(address: str, release: Release) -> str:
    """What is wrong with the answers to /health and /ready; empty: nothing."""
    host, _, port = address.rpartition(":")
    text = b""
    for path in ("/health", "/ready"):
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{path}: {error}"
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            return f"{path} answers {answer.status}"
    try:
        version = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError):
        return "/ready answers something else"
    return "" if version == release.version else f"/ready is answered by version {version}"


def _stop_strangers(environment: Environment, release: Release) -> None:
    """Stop what runs and isn't of this release: it would go on with the other one's configuration."""
    before = releases.current(environment)
    there = {each.service for each in environment.runtime.services() if each.state != "missing"}
    if before and (strangers := sorted(there & set(before.services) - set(release.services))):
        try:
            environment.runtime.stop(strangers)
        except OpentrError as error:
            ui.note(f"{', '.join(strangers)} can't be stopped: {error.what}")
