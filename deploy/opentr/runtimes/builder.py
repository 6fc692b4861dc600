"""Images on an engine: which are there, and building those that aren't."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from opentr import process, ui
from opentr.containers import DIGEST_LABEL
from opentr.errors import ProcessFailed
from opentr.errors.engine import BuildFailed
from opentr.runtimes import images
from opentr.runtimes.docker_command import compose_command, require_buildx
from opentr.runtimes.images import BASE, Build
from opentr.runtimes.room import disk_full, is_full
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from opentr.containers import Engine
    from opentr.settings import Settings
    from opentr.state import State

BOOTSTRAPPED = "opentr/debian:trixie"
"""The base that images/base/bootstrap.sh makes of Debian's packages where no registry answers."""
RECORD = "images"
"""The state's record of all references that were made for it, which is what `clean` removes."""
_REGISTRY_SECONDS = 15
_TAIL_LINES = 12
_STAGE = re.compile(r"#\d+ \[(?P<stage>[^\]]+)\] (?P<what>.*)")
_HINTS = (
    (
        re.compile("certificate", re.IGNORECASE),
        "give builds your site's certificates: OPENTR_BUILD_CA_BUNDLE=/path/to/bundle.crt",
    ),
    (
        re.compile(
            "resolv|unreachable|Connection (timed out|refused)|Could not connect|Failed to fetch|Max retries",
            re.IGNORECASE,
        ),
        "the mirror or the package index can't be reached: look at the network, or set HTTPS_PROXY",
    ),
)


@dataclass(frozen=True)
class Builder:
    """Builds the images of an environment."""

    settings: Settings
    state: State
    engine: Engine
    tree: Path = CHECKOUT
    """the source tree that they are built from"""

    def wanted(self, names: Iterable[str]) -> list[Build]:
        """The images of these names as the code would make them, the base first; empty if no base is here yet."""
        source = self.source()
        if source is None:
            return []
        base = self._planned(BASE, *source)
        rest = [
            self._planned(name, base.reference, base.digest) for name in images.RECIPES if name in {*names} - {BASE}
        ]
        return [base, *rest]

    def missing(self, builds: Iterable[Build]) -> list[Build]:
        """Those that aren't here by their own name."""
        here = {reference for image in self.engine.images(DIGEST_LABEL) for reference in image.references}
        return [build for build in builds if build.reference not in here]

    def command(self, build: Build, *, no_cache: bool = False) -> list[str]:
        """The command that builds it; it reads the tar from stdin."""
        bundle = self.settings.build.ca_bundle
        return build.argv(self._docker, version=self._version, ca_bundle=bundle, no_cache=no_cache)

    def build(self, build: Build, *, no_cache: bool = False) -> None:
        """Build it, or where another project has built the same, give that one our name.

        Raises BuildFailed, DiskFull, BuildxMissing.
        """
        self._record(build.reference)
        same = [] if no_cache else self.engine.images(f"{DIGEST_LABEL}={build.digest}")
        if same:
            self.engine.tag(same[0].id, build.reference)
            return
        require_buildx(self._docker[0])
        with tempfile.TemporaryFile() as context:
            images.context(build.recipe, self.tree, context)
            context.seek(0)
            self._logged(build.name, process.lines(self.command(build, no_cache=no_cache), stdin=context))

    def tag(self, image: str, reference: str) -> None:
        """Give an image that is here a further name, which is removed with the others."""
        self._record(reference)
        self.engine.tag(image, reference)

    def source(self) -> tuple[str, str] | None:
        """The image that the base begins with, reference and id: the one that is set, else ours."""
        for name in (self.settings.build.base_image, BOOTSTRAPPED):
            if found := self.engine.image(name):
                return name, found.id
        return None

    def fetch_source(self) -> None:
        """Get the image that the base begins with: from its registry, or if none answers, from Debian's packages.

        Raises BuildFailed.
        """
        name = self.settings.build.base_image
        if self.engine.in_registry(name, _REGISTRY_SECONDS):
            self._logged(BASE, process.lines([*self._docker, "pull", name]))
            return
        ui.note(f"no registry answers for {name}: making the base from Debian's packages")
        bootstrap = [str(CHECKOUT / "images/base/bootstrap.sh"), BOOTSTRAPPED]
        self._logged(BASE, process.lines(bootstrap, environment={"DOCKER_HOST": self.engine.host}))

    @property
    def _version(self) -> str:
        return (self.tree / "VERSION").read_text(encoding="utf-8").strip()

    @cached_property
    def _docker(self) -> list[str]:
        return [compose_command(self.state), *self.engine.cli_options]

    def _planned(self, name: str, base: str, base_digest: str) -> Build:
        found = images.digest(images.RECIPES[name], self.tree, base_digest, code=self.settings.environment == "prod")
        return Build(name, images.reference(self.settings.project, name, found), found, base)

    def _record(self, reference: str) -> None:
        known = (self.state.read(RECORD) or {}).get("references", [])
        if reference not in known:
            self.state.write(RECORD, {"references": [*known, reference]})

    def _logged(self, name: str, command: AbstractContextManager[Iterable[str]]) -> None:
        """Keep all output in a file, show where it is; raises BuildFailed with its end, or DiskFull."""
        place = self.state.folder / f"build-{name}.log"
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        try:
            with command as lines, place.open("w", buffering=1, encoding="utf-8") as log:
                for line in lines:
                    log.write(f"{line}\n")
                    tail.append(line)
                    if found := _STAGE.match(line):
                        ui.show(f"{found['stage']}: {found['what']}")
        except ProcessFailed as error:
            text = place.read_text(encoding="utf-8")
            if is_full(text):
                raise disk_full(f"building {name}", self.engine) from error
            raise BuildFailed(name, list(tail), place, _hint(text, place)) from error


def _hint(text: str, log: Path) -> str:
    found = next((hint for cause, hint in _HINTS if cause.search(text)), "mend what it names, then try again")
    return f"{found} (all of the output: {log})"
