from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from opentr import settings
from opentr.actions import releases, trees
from opentr.actions.trees import Tree
from opentr.settings import CHECKOUT
from tests.unit.releasing import COMPOSE, opened, release

if TYPE_CHECKING:
    from pathlib import Path

    from opentr.actions.environment import Environment


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return opened(tmp_path, monkeypatch)


def deploy(environment: Environment, *names: str) -> None:
    for name in names:
        releases.store(environment, release(name))
        releases.make_current(environment, release(name))


def test_a_release_that_was_written_down_is_read_again(environment: Environment):
    deploy(environment, "0.1.0-one")
    assert releases.current(environment) == release("0.1.0-one")
    assert releases.previous(environment) is None


def test_the_release_before_is_the_one_that_served_before(environment: Environment):
    deploy(environment, "one", "two")
    before = releases.previous(environment)
    assert before
    assert before.id == "one"
    deploy(environment, "two")  # again the same: the one before stays
    assert releases.previous(environment) == before


def test_nothing_is_current_where_nothing_was_deployed(environment: Environment):
    assert releases.current(environment) is None
    assert releases.known(environment.state) == []


def test_what_never_served_is_no_release_that_one_goes_to(environment: Environment):
    deploy(environment, "one", "two")
    releases.store(environment, release("three"))
    assert [each.id for each in releases.known(environment.state)] == ["one", "two"]
    deploy(environment, "one")
    assert [each.id for each in releases.known(environment.state)] == ["two", "one"]


def test_images_of_the_current_release_and_the_one_before_are_kept(environment: Environment):
    deploy(environment, "one", "two", "three")
    kept = releases.kept_images(environment.state)
    assert {"opentr-test/api:three-digest", "opentr-test/api:three", "opentr-test/api:two-digest"} <= kept
    assert not any("one" in each for each in kept)


def test_a_release_of_an_older_tool_gets_a_record_of_what_stands_in_the_state(environment: Environment):
    state = environment.state
    state.install({"config/postgres/pg_hba.conf": "local all\n", "compose.env": "A=1\n"})
    (state.folder / "docker-compose.yml").write_text(COMPOSE)
    state.write("release", {"version": "0.1.0", "images": {"api": "opentr-test/api:1"}, "made_at": "2026-01-01"})
    releases.adopt(environment)
    now = releases.current(environment)
    assert now
    assert now.files == {
        "docker-compose.yml": COMPOSE,
        "compose.env": "A=1\n",
        "config/postgres/pg_hba.conf": "local all\n",
    }
    assert (now.version, now.images) == ("0.1.0", {"api": "opentr-test/api:1"})
    assert state.read("release") | {"current": None} == {  # type: ignore[operator]
        "version": "0.1.0",
        "images": {"api": "opentr-test/api:1"},
        "made_at": "2026-01-01",
        "current": None,
        "previous": None,
    }
    assert releases.find(state, now.id) == now


def test_changed_settings_go_into_the_current_release(environment: Environment):
    deploy(environment, "one")
    environment.state.install({"compose.env": "A=2\n", "config/redis/redis.conf": "x\n"})
    (environment.state.folder / "docker-compose.yml").write_text(COMPOSE)
    releases.refresh(environment)
    now = releases.current(environment)
    assert now
    assert (now.files["compose.env"], now.files["config/redis/redis.conf"]) == ("A=2\n", "x\n")


def test_the_services_of_a_compose_file_are_those_below_services():
    assert release("one").services == ["postgres", "backup"]
    text = trees.checkout().compose_file
    found = replace(release("one"), files={"docker-compose.yml": text}).services
    assert {"postgres", "api", "proxy", "backup", "migrate"} <= set(found)
    assert not {"edge", "media", "app_rw_password"} & set(found)


def test_a_tree_tells_what_it_is_made_of():
    tree = trees.checkout()
    assert tree.version == (CHECKOUT / "VERSION").read_text().strip()
    assert tree.postgres_major == 17
    ids = [revision for revision, _, _ in tree.revisions()]
    assert ids[:3] == ["0001", "0002", "0003"]
    assert ids == sorted(ids)
    assert all(oldest for _, oldest, _ in tree.revisions())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a checkout"
    for name in ("backend", "elsewhere"):
        (folder / name).mkdir(parents=True)
    (folder / "VERSION").write_text("0.1.0\n")
    (folder / "backend" / "app.py").write_text("one\n")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "One")
    git(folder, "tag", "v0.1.0")
    monkeypatch.setattr(trees, "CHECKOUT", folder)
    return folder


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "commit.gpgsign=false"]
    said = subprocess.run(["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True)  # noqa: S607
    return said.stdout.strip()


def test_a_checkout_is_dirty_where_something_differs_that_a_release_is_made_of(repository: Path):
    assert trees.checkout().commit == git(repository, "rev-parse", "HEAD")
    (repository / "elsewhere" / "notes").write_text("x")
    assert not trees.checkout().dirty
    (repository / "backend" / "new.py").write_text("x")
    assert trees.checkout().dirty


def test_a_tag_is_found_by_its_version_and_laid_out_without_touching_the_checkout(repository: Path):
    (repository / "VERSION").write_text("0.2.0\n")
    assert (trees.tag("0.1.0"), trees.tag("v0.1.0"), trees.tag("0.9.0")) == ("v0.1.0", "v0.1.0", None)
    with trees.of_tag("v0.1.0") as tree:
        assert tree.version == "0.1.0"
        assert (tree.commit, tree.dirty) == (git(repository, "rev-parse", "HEAD"), False)
        place = tree.path
    assert not place.exists()
    assert (repository / "VERSION").read_text() == "0.2.0\n"
    assert git(repository, "worktree", "list").count("\n") == 0


def test_a_folder_within_another_repository_has_no_commit_of_its_own(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trees, "CHECKOUT", repository / "backend")
    assert (trees.checkout().commit, trees.tag("0.1.0")) == (None, None)


def test_a_changed_tree_is_another_release_than_its_commit(environment: Environment):
    images = {"api": "opentr-test/api:1"}
    clean = Tree(CHECKOUT, "b" * 40, dirty=False)
    one, other = (releases.of_tree(environment, tree, images) for tree in (clean, replace(clean, dirty=True)))
    assert one.id == f"{clean.version}-{'b' * 12}"
    assert other.id.startswith(f"{one.id}-")
    changed = releases.of_tree(environment, replace(clean, dirty=True), {"api": "opentr-test/api:2"})
    assert len({one.id, other.id, changed.id}) == 3


def test_other_settings_make_another_release_and_leave_the_known_one_as_it_is(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
):
    images, tree = {"api": "opentr-test/api:1"}, Tree(CHECKOUT, "b" * 40, dirty=False)
    known = releases.of_tree(environment, tree, images)
    releases.store(environment, known)
    assert releases.of_tree(environment, tree, images).id == known.id
    monkeypatch.setenv("OPENTR_API_PROCESSES", "7")
    other = releases.of_tree(replace(environment, settings=settings.read("prod")), tree, images)
    assert other.id.startswith(f"{known.id}-")
    releases.store(environment, other)
    assert releases.find(environment.state, known.id) == known


def test_a_release_holds_no_secrets(environment: Environment):
    made = releases.of_tree(environment, trees.checkout(), {"api": "opentr-test/api:1"})
    secrets = [file.read_text().strip() for file in (environment.state.folder / "secrets").iterdir()]
    assert secrets
    assert not any(name.startswith("secrets/") for name in made.files)
    assert not any(secret in text for secret in secrets for text in made.files.values())
