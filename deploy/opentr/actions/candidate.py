"""The release that is to serve next: what was meant by its name, and laid ready beside the one that serves."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.actions import build, environment, releases, trees
from opentr.actions import steps as running
from opentr.errors.deploy import ReleaseAmbiguous, ReleaseImagesGone, ReleaseUnknown
from opentr.runtimes.compose import RELEASE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release
    from opentr.actions.steps import Step
    from opentr.actions.trees import Tree
    from opentr.runtimes.base import Runtime

PLACE = "candidate"
"""The folder of the state that holds its Compose file and the variables of that, for one-offs with its images."""


@dataclass(frozen=True)
class Target:
    """What was meant: a source tree that may have to be built yet, or a release whose record and images are here."""

    tree: Tree | None
    release: Release | None

    @property
    def version(self) -> str:
        """As VERSION says."""
        return self.tree.version if self.tree else self._recorded.version

    @property
    def postgres_major(self) -> int:
        """Of the Postgres in its image; 0: not known."""
        return self.tree.postgres_major if self.tree else self._recorded.postgres_major

    @property
    def revisions(self) -> list[tuple[str, str, str]] | None:
        """Its migrations, where its source is here: (revision, oldest release, subject), oldest first."""
        return self.tree.revisions() if self.tree else None

    def __str__(self) -> str:
        if self.tree is None:
            return str(self._recorded)
        commit = f", commit {self.tree.commit[:12]}" if self.tree.commit else ""
        return f"{self.tree.version}{commit}{' with changes' if self.tree.dirty else ''}"

    @property
    def _recorded(self) -> Release:
        assert self.release is not None  # noqa: S101 - one of the two is there
        return self.release


@contextmanager
def meant(environment: Environment, wanted: str | None) -> Iterator[Target]:
    """What `--to` means; without it, this checkout.

    A release that has served here, by its id; or a git tag; or the one release of this version that has served here.
    What a tag holds lies in a folder of its own for as long as the block lasts. Raises ReleaseUnknown,
    ReleaseAmbiguous, ReleaseImagesGone.
    """
    if wanted is None:
        yield Target(trees.checkout(), None)
        return
    there = releases.known(environment.state)
    named = [each for each in there if each.id == wanted]
    tag = trees.tag(wanted)
    if named and not missing(environment, named[0]):
        yield Target(None, named[0])
    elif tag:
        with trees.of_tag(tag) as tree:
            yield Target(tree, None)
    else:
        found = named or [each for each in there if each.version == wanted]
        if len(found) > 1:
            raise ReleaseAmbiguous(wanted, [each.id for each in found])
        if not found:
            raise ReleaseUnknown(wanted, [each.id for each in there])
        if gone := missing(environment, found[0]):
            raise ReleaseImagesGone(found[0].id, gone)
        yield Target(None, found[0])


def missing(environment: Environment, release: Release) -> list[str]:
    """The images of a recorded release that aren't here any more."""
    here = build.ids(environment, release.images)
    return [reference for name, reference in release.images.items() if name not in here]


def build_steps(environment: Environment, target: Target) -> list[Step]:
    """What has to be built first; none if all images are here."""
    return build.steps(environment, tree=target.tree.path) if target.tree else []


def made(environment: Environment, target: Target) -> Release:
    """Build what isn't there, and return the release that it makes. Raises BuildFailed, DiskFull."""
    if target.tree is None:
        assert target.release is not None  # noqa: S101 - one of the two is there
        return target.release
    running.run(build_steps(environment, target))
    return releases.of_tree(environment, target.tree, build.current(environment, target.tree.path))


def laid_ready(opened: Environment, release: Release) -> Runtime:
    """The environment as this release describes it, for one-offs with its images; what serves isn't touched."""
    files = {f"{PLACE}/{name}": release.files[name] for name in (RELEASE_FILE, environment.VARIABLES)}
    opened.state.install(files)
    return opened.runtime.beside(PLACE)


def planned_images(environment: Environment, tree: Tree) -> dict[str, str]:
    """The images that the tree makes, by service, whether they are here or not."""
    return build.current(environment, tree.path)
