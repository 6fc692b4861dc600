from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from opentr.runtimes import images
from opentr.runtimes.images import RECIPES, Build, Recipe
from opentr.settings import CHECKOUT

RECIPE = Recipe("images/x/Dockerfile", ("images/x", "VERSION"), code=("app",))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("images/x/Dockerfile", "images/x/run.sh", "VERSION", "app/main.py", "app/.hidden", "app/README.md"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "images/x/run.sh").chmod(0o700)
    (tmp_path / "app/__pycache__").mkdir()
    (tmp_path / "app/__pycache__/main.pyc").touch()
    return tmp_path


def digest(checkout: Path, base: str = "b", *, code: bool = True) -> str:
    return images.digest(RECIPE, checkout, base, code=code)


def build(name: str = "api") -> Build:
    return Build(name, f"p/{name}:0123", "0123", "p/base:4567")


def test_a_build_sees_its_files_and_nothing_that_tools_leave(checkout: Path):
    assert list(images.files(RECIPE, checkout)) == ["VERSION", "app/main.py", "images/x/Dockerfile", "images/x/run.sh"]


def test_the_digest_stays_while_nothing_changes(checkout: Path):
    before = digest(checkout)
    (checkout / "app/__pycache__/other.pyc").touch()
    (checkout / "app/main.py").touch()
    (checkout / "app/main.py").chmod(0o600)
    assert digest(checkout) == before
    assert re.fullmatch(r"[0-9a-f]{16}", before)


@pytest.mark.parametrize("change", ["content", "mode", "new file", "renamed", "base"])
def test_the_digest_changes_with_all_that_makes_the_image(checkout: Path, change: str):
    before = digest(checkout)
    file = checkout / "app/main.py"
    match change:
        case "content":
            file.write_text("other")
        case "mode":
            file.chmod(0o755)
        case "new file":
            (checkout / "app/more.py").touch()
        case "renamed":
            file.rename(checkout / "app/other.py")
    assert digest(checkout, "another" if change == "base" else "b") != before


def test_where_the_code_is_mounted_an_edit_is_no_new_image(checkout: Path):
    before = digest(checkout, code=False)
    (checkout / "app/main.py").write_text("other")
    assert digest(checkout, code=False) == before
    assert digest(checkout, code=True) != before, "such an image is never taken for one with this code"
    (checkout / "VERSION").write_text("other")
    assert digest(checkout, code=False) != before


def test_the_context_is_the_same_for_the_same_files(checkout: Path):
    first, second = io.BytesIO(), io.BytesIO()
    images.context(RECIPE, checkout, first)
    (checkout / "VERSION").touch()
    images.context(RECIPE, checkout, second)
    assert first.getvalue() == second.getvalue()
    with tarfile.open(fileobj=io.BytesIO(first.getvalue())) as archive:
        assert {each.name: each.mode for each in archive} == {
            "VERSION": 0o644,
            "app/main.py": 0o644,
            "images/x/Dockerfile": 0o644,
            "images/x/run.sh": 0o755,
        }


@pytest.mark.parametrize("name", RECIPES)
def test_every_file_that_a_dockerfile_copies_is_in_its_recipe(name: str):
    recipe = RECIPES[name]
    text = (CHECKOUT / recipe.dockerfile).read_text().replace("\\\n", " ")
    copies = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from=" not in line]
    seen = set(images.files(recipe, CHECKOUT))
    for source in (word for words in copies for word in words if not word.startswith("--")):
        assert source in seen or any(file.startswith(f"{source}/") for file in seen), source


def test_the_command_of_a_build():
    argv = build().argv(("docker", "--host", "unix:///s"), version="1.2", ca_bundle=Path("/ca"), no_cache=True)
    assert argv[:6] == ["docker", "--host", "unix:///s", "buildx", "build", "--builder"]
    assert argv[-2:] == ["--no-cache", "-"]
    words = " ".join(argv)
    assert "--file images/backend/Dockerfile --target api --tag p/api:0123 --build-arg BASE=p/base:4567" in words
    assert "--label org.opentranscribe.digest=0123 --label org.opencontainers.image.version=1.2" in words
    assert "--secret id=ca,src=/ca" in words


def test_proxies_are_named_without_their_values(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:secret@proxy")
    argv = build().argv(("docker",), version="1", ca_bundle=None, no_cache=False)
    assert "HTTPS_PROXY" in argv
    assert "secret" not in " ".join(argv)
    assert "--secret" not in argv
