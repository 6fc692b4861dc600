"""The media files' folders through resets and restores, by the scripts that run there, in a folder of the test's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path  # noqa: TC003 - a field's type
from typing import TYPE_CHECKING, NamedTuple

import pytest

from opentr.server import mediascripts
from opentr.server.media import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable

TALK = "user_1/file_1/talk.mp3"
FIRST, SECOND, THIRD, FOURTH = "aaaa", "bbbb", "cccc", "dddd"
MOVES = ("mv", "cp", "rm")


class Folder(NamedTuple):
    """`/srv/media`, elsewhere."""

    path: Path

    def run(self, script: str, *words: str, tools: Path | None = None) -> str:
        """As in a service of the app."""
        search = f"{tools}:/usr/bin:/bin" if tools else "/usr/bin:/bin"
        known = {"PATH": search, "MEDIA_ROOT": str(self.path / "current")}
        argv = ["sh", "-c", script, "sh", *words]
        said = subprocess.run(argv, capture_output=True, text=True, check=False, env=known)
        assert tools or said.returncode == 0, said.stderr
        return said.stdout.strip()

    def swap(self, incoming: Incoming) -> int:
        """Prepare, swap, discard; how many files couldn't be had."""
        lost = int(self.run(mediascripts.PREPARE, *incoming.words) or 0)
        self.run(mediascripts.SWAP, *incoming.words)
        self.run(mediascripts.DISCARD)
        return lost

    def record(self, text: str, key: str = TALK) -> None:
        """A recording comes, as the app stores it."""
        file = self.path / "current" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def served(self, key: str = TALK) -> str | None:
        """What the app would send."""
        file = self.path / "current" / key
        return file.read_text() if file.exists() else None

    def all(self) -> set[str]:
        """The contents of all recordings that are still anywhere."""
        return {file.read_text() for file in self.path.rglob("*") if file.is_file() and not file.name.startswith(".")}

    def tree(self) -> dict[str, str]:
        """Every file, with its contents."""
        return {
            str(file.relative_to(self.path)): file.read_text()
            for file in sorted(self.path.rglob("*"))
            if file.is_file() and file.name != ".lock"
        }


@pytest.fixture
def media(tmp_path: Path) -> Folder:
    """A folder as the image makes it: the first generation, which nobody has named."""
    folder = Folder(tmp_path / "media")
    (folder.path / "current").mkdir(parents=True)
    return folder


def put_aside(media: Folder) -> list[list[str]]:
    """Each folder that was put aside: how many files are nowhere else, their bytes, its name."""
    return [line.split()[1:] for line in media.run(mediascripts.ASIDE).splitlines()]


@pytest.fixture
def was_reset(media: Folder) -> Folder:
    """The first generation had a recording; then came a reset."""
    media.record("first")
    assert media.swap(Incoming(SECOND, "fresh", live=FIRST)) == 0
    assert media.served() is None
    return media


def test_a_reset_and_its_undo_lose_nothing(was_reset: Folder):
    was_reset.record("second", "user_1/file_2/other.mp3")
    was_reset.swap(Incoming(THIRD, "before", live=SECOND, before=FIRST))
    assert was_reset.served() == "first"
    was_reset.swap(Incoming(FOURTH, "before", live=THIRD, before=SECOND))
    assert was_reset.served("user_1/file_2/other.mp3") == "second"
    assert was_reset.all() == {"first", "second"}


def test_what_a_second_reset_puts_out_of_the_way_goes(was_reset: Folder):
    was_reset.swap(Incoming(THIRD, "fresh", live=SECOND, before=FIRST))
    assert was_reset.all() == set()


@pytest.mark.parametrize("wanted", [FIRST, ""])
def test_a_dump_from_before_the_reset_has_its_recordings(was_reset: Folder, wanted: str):
    assert was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=wanted)) == 0
    assert was_reset.served() == "first"


def test_the_restored_generation_has_the_files_of_both(was_reset: Folder):
    was_reset.record("second", "user_1/file_2/other.mp3")
    was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=FIRST))
    assert (was_reset.served(), was_reset.served("user_1/file_2/other.mp3")) == ("first", "second")
    was_reset.swap(Incoming(FOURTH, "before", live=THIRD, before=SECOND))
    assert (was_reset.served(), was_reset.served("user_1/file_2/other.mp3")) == (None, "second")


def test_what_still_comes_in_stays_with_its_generation(was_reset: Folder):
    was_reset.record("half", ".incoming/upload")
    was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=FIRST))
    assert was_reset.served(".incoming/upload") is None
    assert (was_reset.path / "previous/.incoming/upload").exists()


@pytest.mark.parametrize(
    ("wanted", "meant"), [(FIRST, "first"), (SECOND, "second"), ("", "second"), ("ffff", "second")]
)
def test_of_two_files_of_one_name_the_dumps_own_is_served_and_the_other_stays(
    was_reset: Folder, wanted: str, meant: str
):
    was_reset.record("second")
    assert was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=wanted)) == 1
    assert was_reset.served() == meant
    assert was_reset.all() == {"first", "second"}


def test_a_restore_after_a_restore_removes_nothing(was_reset: Folder):
    was_reset.record("second")
    was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=FIRST))
    was_reset.swap(Incoming(FOURTH, "kept", live=THIRD, before=SECOND, wanted=SECOND))
    assert was_reset.served() == "second"
    was_reset.swap(Incoming("eeee", "kept", live=FOURTH, before=THIRD))
    assert was_reset.all() == {"first", "second"}


def test_a_cluster_from_before_the_reset_gets_its_recordings_and_back(was_reset: Folder):
    was_reset.record("second")
    assert was_reset.run(mediascripts.PLACE, FIRST) == "changed"
    assert was_reset.served() == "first"
    assert was_reset.run(mediascripts.PLACE, FIRST) == "same"
    assert was_reset.run(mediascripts.PLACE, SECOND) == "changed"
    assert was_reset.served() == "second"


def test_a_cluster_whose_generation_was_given_another_name_since_still_finds_it(was_reset: Folder):
    was_reset.swap(Incoming(THIRD, "before", live=SECOND, before=FIRST))
    was_reset.swap(Incoming(FOURTH, "fresh", live=THIRD, before=SECOND))
    assert was_reset.run(mediascripts.PLACE, FIRST) == "changed"
    assert was_reset.served() == "first"


def test_a_restored_generation_counts_as_the_one_that_it_has_all_files_of(was_reset: Folder):
    was_reset.swap(Incoming(THIRD, "kept", live=SECOND, before=FIRST, wanted=FIRST))
    assert was_reset.run(mediascripts.PLACE, FIRST) == "same"
    assert was_reset.served() == "first"


def test_where_nobody_has_the_files_all_stay_as_they_are(was_reset: Folder):
    before = was_reset.tree()
    assert was_reset.run(mediascripts.PLACE, "ffff") == "unknown"
    assert was_reset.run(mediascripts.PLACE, "") == "unknown"
    assert was_reset.tree() == before


def test_the_first_generation_needs_no_name(media: Folder):
    media.record("first")
    assert media.run(mediascripts.PLACE, FIRST) == "same"
    assert media.run(mediascripts.PLACE, "") == "same"


@pytest.mark.parametrize("before", ["", "ffff"])
def test_a_reset_after_a_restored_cluster_keeps_what_the_replaced_one_names(was_reset: Folder, before: str):
    was_reset.record("second")
    was_reset.run(mediascripts.PLACE, FIRST)
    was_reset.swap(Incoming(THIRD, "fresh", live=FIRST, before=before))
    was_reset.swap(Incoming(FOURTH, "fresh", live=THIRD, before=FIRST))
    assert was_reset.all() == {"second"}
    assert was_reset.run(mediascripts.PLACE, SECOND) == "changed"
    assert was_reset.served() == "second"


def _reset(media: Folder, tools: Path | None) -> None:
    words = Incoming(THIRD, "fresh", live=SECOND, before=FIRST).words
    media.run(mediascripts.PREPARE, *words, tools=tools)
    media.run(mediascripts.SWAP, *words, tools=tools)


def _undo(media: Folder, tools: Path | None) -> None:
    media.run(mediascripts.SWAP, *Incoming(THIRD, "before", live=SECOND, before=FIRST).words, tools=tools)


def _restore(media: Folder, tools: Path | None) -> None:
    words = Incoming(THIRD, "kept", live=SECOND, before=FIRST).words
    media.run(mediascripts.PREPARE, *words, tools=tools)
    media.run(mediascripts.SWAP, *words, tools=tools)


def _place(media: Folder, tools: Path | None) -> None:
    media.run(mediascripts.PLACE, FIRST, tools=tools)


@pytest.mark.parametrize("ending", ["before", "after"])
@pytest.mark.parametrize("act", [_reset, _undo, _restore, _place])
def test_killed_at_any_move_and_begun_again_it_ends_the_same(
    was_reset: Folder, tmp_path: Path, act: Callable[[Folder, Path | None], None], ending: str
):
    was_reset.record("second")
    untouched = tmp_path / "untouched"
    shutil.copytree(was_reset.path, untouched)
    act(was_reset, None)
    expected = was_reset.tree()
    for count in range(1, 40):
        shutil.rmtree(was_reset.path)
        shutil.copytree(untouched, was_reset.path)
        tools = _killing(tmp_path / f"tools_{count}", count, ending)
        act(was_reset, tools)
        reached = (tools / "killed").exists()
        act(was_reset, None)
        assert was_reset.tree() == expected, f"killed at move {count}"
        if not reached:
            assert count > 2
            return
    pytest.fail("it never came to its end")


def _killing(folder: Path, count: int, ending: str) -> Path:
    """Programs that move files, of which the one run as the `count`-th kills the script: before or after its work."""
    folder.mkdir()
    for name in MOVES:
        work = f'/usr/bin/env PATH=/usr/bin:/bin {name} "$@"'
        last = "" if ending == "before" else work
        (folder / name).write_text(
            f"#!/bin/sh\n[ ! -e {folder}/killed ] || exit 1\necho >>{folder}/count\n"
            f"if [ $(wc -l <{folder}/count) = {count} ]; then {last}\n"
            f"touch {folder}/killed; kill -9 $PPID; exit 1; fi\n"
            f"exec {work}\n"
        )
        (folder / name).chmod(0o755)
    return folder


def test_what_was_put_aside_is_counted_without_what_is_elsewhere_too(media: Folder):
    assert put_aside(media) == []
    media.record("elsewhere too")
    folder = media.path / "aside" / FIRST
    folder.mkdir(parents=True)
    (folder / ".generation").write_text(FIRST)
    (folder / "alone.mp3").write_text("alone")
    (folder / "shared.mp3").hardlink_to(media.path / "current" / TALK)
    assert put_aside(media) == [["1", str(len("alone")), FIRST]]


def test_what_is_forgotten_is_gone_and_the_rest_stays(media: Folder):
    media.record("current")
    for name in (FIRST, SECOND):
        (media.path / "aside" / name).mkdir(parents=True)
        (media.path / "aside" / name / "talk.mp3").write_text(name)
    media.run(mediascripts.FORGET, FIRST)
    assert media.all() == {"current", SECOND}
    media.run(mediascripts.FORGET, FIRST)
    assert media.all() == {"current", SECOND}
