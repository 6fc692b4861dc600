"""Releases: what prod runs, written down so that it can be brought up again without the tree that it came from.

    release.json             the current one, and the one before
    releases/<id>.json       each release that was deployed here: images, Compose file, configuration; nothing secret

`start` brings up the current one. Only deploy and rollback change which that is.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from opentr import credentials
from opentr.actions import build
from opentr.actions import environment as environments
from opentr.runtimes.compose import RELEASE_FILE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentr.actions.environment import Environment
    from opentr.actions.trees import Tree
    from opentr.state import State

RECORD = environments.RELEASE_RECORD
"""The state's record of the release that is current; `version`, `images` and `made_at` stand in it as well."""
FOLDER = "releases"
ANNOTATION = "config/backup/release.json"
"""The file by which backups know what ran when they were taken."""
_CONFIG = "config"
_COMMIT = 12
_DIGEST = 6
_UNKNOWN = ""


@dataclass(frozen=True)
class Release:
    """What is brought up."""

    id: str
    """<version>-<commit>, with a digest where the tree was changed after its commit; also the images' second tag"""
    version: str
    commit: str | None
    dirty: bool
    images: dict[str, str]
    """reference by service"""
    image_ids: dict[str, str]
    files: dict[str, str] = field(repr=False)
    """what is installed in the state: the Compose file, its variables, config/"""
    head: str
    """the newest revision of its migrations; empty: not known"""
    oldest_release: str
    """of its newest revision: the oldest release of the app that its schema tolerates"""
    postgres_major: int
    """0: not known"""
    roles: str = field(repr=False)
    """its roles.sql; empty: not known"""
    made_at: str
    templates: str = ""
    """digest of the templates of its configuration; empty: not known"""

    def __str__(self) -> str:
        return self.id

    @property
    def services(self) -> list[str]:
        """The services that its Compose file has."""
        lines = iter(self.files[RELEASE_FILE].splitlines())
        found: list[str] = []
        for line in lines:
            if line.startswith("services:"):
                break
        for line in lines:
            if line[:1] not in {"", " ", "#"}:
                break
            if line.startswith("  ") and line[2:3] not in {"", " ", "#"} and line.rstrip().endswith(":"):
                found.append(line.strip().rstrip(":"))
        return found


def of_tree(environment: Environment, tree: Tree, images: Mapping[str, str]) -> Release:
    """The release that this tree makes with these images, and with the settings as they are now."""
    rendered = environments.rendered(environment, credentials.ensure(environment.state), images, tree.templates)
    files = {name: text for name, text in rendered.items() if not name.startswith("secrets/")}
    files[RELEASE_FILE] = tree.compose_file
    revision, oldest, _ = (tree.revisions() or [(_UNKNOWN, _UNKNOWN, "")])[-1]
    made = Release(
        id=_identity(tree, images),
        version=tree.version,
        commit=tree.commit,
        dirty=tree.dirty,
        images=dict(images),
        image_ids=build.ids(environment, images),
        files=files,
        head=revision,
        oldest_release=oldest,
        postgres_major=tree.postgres_major,
        roles=tree.roles,
        made_at=_now(),
        templates=tree.templates_digest,
    )
    known = find(environment.state, made.id)
    if known is not None and _content(known) != _content(made):
        # The same commit on another base, or with other settings: a release of its own; the known one stays.
        made = replace(made, id=f"{made.id}-{_digest(images, json.dumps(_content(made), sort_keys=True))}")
    made.files[ANNOTATION] = json.dumps({"version": made.id, "images": made.image_ids}, indent=1, sort_keys=True) + "\n"
    return made


def store(environment: Environment, release: Release) -> None:
    """Write the release down, and give its images its name as a further tag."""
    (environment.state.folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    environment.state.write(f"{FOLDER}/{release.id}", asdict(release))
    build.tag(environment, release.images, release.id)


def make_current(environment: Environment, release: Release) -> None:
    """Write down that this release serves, and is what `start` brings up; the one until now is the one before."""
    before = environment.state.read(RECORD) or {}
    served = [each for each in _served(before) if each != release.id]
    same = before.get("current") == release.id
    environment.state.write(
        RECORD,
        {
            "current": release.id,
            "previous": before.get("previous") if same else before.get("current"),
            "served": [*served, release.id],
            "version": release.version,
            "images": release.images,
            "made_at": release.made_at,
        },
    )


def current(environment: Environment) -> Release | None:
    """The release that serves; None if none was ever recorded.

    One that was recorded before releases had records of their own is written down now, from what the state holds.
    """
    record = environment.state.read(RECORD)
    if record is None:
        return None
    known = find(environment.state, record["current"]) if "current" in record else None
    return known or _of_state(environment, record)


def previous(environment: Environment) -> Release | None:
    """The release before the current one, if its record is still here."""
    name = (environment.state.read(RECORD) or {}).get("previous")
    return find(environment.state, name) if name else None


def adopt(environment: Environment) -> None:
    """Give a release that was recorded by an older tool, or whose record is lost, one of its own; else do nothing."""
    record = environment.state.read(RECORD)
    if record is not None and find(environment.state, str(record.get("current"))) is None:
        release = _of_state(environment, record)
        store(environment, release)
        environment.state.write(RECORD, record | {"current": release.id, "previous": None})


def refresh(environment: Environment) -> None:
    """The current release's configuration is now what stands in the state: settings were taken on."""
    adopt(environment)
    if release := current(environment):
        store(environment, replace(release, files=_installed(environment.state)))


def find(state: State, name: str) -> Release | None:
    """The release of this id."""
    found = state.read(f"{FOLDER}/{name}")
    return Release(**found) if found else None


def known(state: State) -> list[Release]:
    """All releases that have served here, the latest last; one that didn't come up isn't among them."""
    found = (find(state, name) for name in _served(state.read(RECORD) or {}))
    return [release for release in found if release]


def differs(release: Release, tree: Tree) -> bool:
    """Whether the tree's configuration is made for another release: it must not be given to this one's services."""
    other = release.templates not in {"", tree.templates_digest}
    return other or release.files[RELEASE_FILE] != tree.compose_file


def number(version: str) -> tuple[int, ...]:
    """A version as numbers, to be compared: 0.10.1 -> (0, 10, 1). Empty, which is the oldest, where it isn't known."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))


def kept_images(state: State) -> set[str]:
    """The images of the current release and of the one before, by all of their names: they are never removed."""
    record = state.read(RECORD) or {}
    names = {*record.get("images", {}).values()}
    for each in (record.get("current"), record.get("previous")):
        if each and (release := find(state, each)):
            names |= {*release.images.values(), *build.tags(release.images, release.id).values()}
    return names


def _served(record: Mapping[str, Any]) -> list[str]:
    """The releases that have served, as the state's record tells; one of an older tool tells two."""
    two = (record.get("previous"), record.get("current"))
    return list(record.get("served") or [each for each in two if each])


def _content(release: Release) -> dict[str, Any]:
    """What makes a release another one: its images, and all that it configures."""
    return {"images": release.images} | {name: text for name, text in release.files.items() if name != ANNOTATION}


def _identity(tree: Tree, images: Mapping[str, str]) -> str:
    if tree.commit is None:
        return f"{tree.version}-{_digest(images, tree.compose_file)}"
    name = f"{tree.version}-{tree.commit[:_COMMIT]}"
    return f"{name}-{_digest(images, tree.compose_file)}" if tree.dirty else name


def _digest(images: Mapping[str, str], more: str = "") -> str:
    words = [*(f"{name}={reference}" for name, reference in sorted(images.items())), more]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:_DIGEST]


def _of_state(environment: Environment, record: Mapping[str, object]) -> Release:
    images = dict(record["images"])  # type: ignore[call-overload] # JSON
    version = str(record["version"])
    return Release(
        id=f"{version}-{_digest(images)}",
        version=version,
        commit=None,
        dirty=False,
        images=images,
        image_ids=build.ids(environment, images),
        files=_installed(environment.state),
        head=_UNKNOWN,
        oldest_release=_UNKNOWN,
        postgres_major=0,
        roles=_UNKNOWN,
        made_at=str(record["made_at"]),
    )


def _installed(state: State) -> dict[str, str]:
    """What stands in the state of a release's files."""
    places = [state.folder / RELEASE_FILE, state.folder / environments.VARIABLES]
    places += [file for file in sorted((state.folder / _CONFIG).rglob("*")) if file.is_file()]
    return {str(file.relative_to(state.folder)): file.read_text(encoding="utf-8") for file in places if file.exists()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
