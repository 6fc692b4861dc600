"""Our images: what each is made from, and the digest of it that names it. Nothing here talks to the engine.

An image is called `<project>/<name>:<digest>`. The digest covers all that goes into the build (files and their modes,
the stage, the image it begins with), so an image of that name needs no building.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from opentr.containers import DIGEST_LABEL, VERSION_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BASE = "base"
DIGEST_LENGTH = 16
_METHOD = "1"
"""Stands for how images are built: a change of it builds all of them anew."""
_LEFT_OUT = (".pyc", ".md", "~")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True)
class Recipe:
    """What an image is made from."""

    dockerfile: str
    paths: tuple[str, ...]
    """files and folders of the checkout that the build sees, and nothing else"""
    code: tuple[str, ...] = ()
    """further ones that the development environment mounts over the image's"""
    target: str | None = None
    """the stage of the Dockerfile; None: the last"""


_APP = ("images/backend/Dockerfile", "VERSION", "backend/requirements.txt", "backend/requirements-worker.txt")
_CODE = ("database", "backend/alembic.ini", "backend/uvicorn.json", "backend/alembic", "backend/app")

RECIPES = {
    BASE: Recipe(
        "images/base/Dockerfile", ("images/base/Dockerfile", "images/base/install-packages", "images/base/slim.cfg")
    ),
    "postgres": Recipe("images/postgres/Dockerfile", ("images/postgres", "database/roles.sql")),
    "pgbouncer": Recipe("images/pgbouncer/Dockerfile", ("images/pgbouncer",)),
    "redis": Recipe("images/redis/Dockerfile", ("images/redis",)),
    "api": Recipe("images/backend/Dockerfile", _APP, _CODE, target="api"),
    "worker": Recipe("images/backend/Dockerfile", _APP, _CODE, target="worker"),
    "proxy": Recipe("images/proxy/Dockerfile", ("images/proxy",)),
}
"""All images, in the order in which they are built."""
_SHARED = {"migrate": "api", "backup": "postgres", "proof": "postgres", "restore": "postgres"}


def image_of(service: str) -> str:
    """The name of the image that a service runs."""
    return _SHARED.get(service, service)


def files(recipe: Recipe, checkout: Path, *, code: bool = True) -> dict[str, Path]:
    """The files that the build sees: path in the checkout -> file, sorted; no documentation, nothing hidden."""
    paths = (*recipe.paths, *(recipe.code if code else ()))
    found = (file for path in paths for file in _below(checkout / path))
    return {str(file.relative_to(checkout)): file for file in sorted(found)}


def _below(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for each in place.iterdir():
        if not each.name.startswith((".", "__pycache__")) and not each.name.endswith(_LEFT_OUT):
            yield from _below(each)


def digest(recipe: Recipe, checkout: Path, base: str, *, code: bool) -> str:
    """The digest of what makes the image; `base` identifies the image that it begins with.

    Without `code` an edit of the code is no new image: for where the checkout's is mounted.
    """
    kind = "mounted" if recipe.code and not code else ""
    total = hashlib.sha256("\0".join([_METHOD, recipe.dockerfile, str(recipe.target), base, kind]).encode())
    for name, file in files(recipe, checkout, code=code).items():
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"\0{name}\0{_mode(file):o}\0{content}".encode())
    return total.hexdigest()[:DIGEST_LENGTH]


def context(recipe: Recipe, checkout: Path, target: IO[bytes]) -> None:
    """Write what the build sees as a tar, which is the same for the same files: no times, no owners."""
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, file in files(recipe, checkout).items():
            content = file.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), _mode(file)
            archive.addfile(entry, io.BytesIO(content))


def _mode(file: Path) -> int:
    """As git sees it: executable or not."""
    return 0o755 if file.stat().st_mode & 0o100 else 0o644


def reference(project: str, name: str, its_digest: str) -> str:
    """What the image is called."""
    return f"{project}/{name}:{its_digest}"


@dataclass(frozen=True)
class Build:
    """One image to be built."""

    name: str
    reference: str
    digest: str
    base: str
    """reference of the image that it begins with"""

    @property
    def recipe(self) -> Recipe:
        """What it is made from."""
        return RECIPES[self.name]

    def argv(self, docker: Sequence[str], *, version: str, ca_bundle: Path | None, no_cache: bool) -> list[str]:
        """The command; it reads the tar from stdin. Proxies are named only: their values may hold passwords."""
        # The engine's own builder: others don't see the engine's images, with which ours begin.
        builder = ["--builder", "default"] if "--host" in docker else []
        return [
            *docker, "buildx", "build", *builder,
            *("--load", "--progress", "plain"),
            *("--file", self.recipe.dockerfile),
            *(["--target", self.recipe.target] if self.recipe.target else []),
            *("--tag", self.reference),
            *("--build-arg", f"BASE={self.base}"),
            *(word for name in _PROXIES for word in ("--build-arg", name)),
            *("--label", f"{DIGEST_LABEL}={self.digest}"),
            *("--label", f"{VERSION_LABEL}={version}"),
            *(["--secret", f"id=ca,src={ca_bundle}"] if ca_bundle else []),
            *(["--no-cache"] if no_cache else []),
            "-",
        ]  # fmt: skip
