from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from app.db import binaries, command, connect, errors, tags
from app.db.likeness import look_alikes
from app.db.tagged import TagUnknown, UserUnknown, files_by_tag, tags_in_use
from app.models.media import FileTag, MediaFile, Tag
from app.models.user import User

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import URL
    from sqlalchemy.orm import Session

SCRIPT = binaries.CHECKOUT / "scripts" / "query_tags.py"


@pytest.fixture
def tagged(session: Session) -> Session:
    """Ann's files 0 to 3 carry Meeting, 0 and 1 also Interview; Bob's one carries Meeting."""
    ann, bob = (User(email=f"{name}@example.org", hashed_password="", full_name=name) for name in ("ann", "bob"))
    files = [
        MediaFile(
            filename=f"{n}.mp3", storage_path="", file_size=1, content_type="audio/mpeg", user=bob if n == 4 else ann
        )
        for n in range(5)
    ]
    named = {tag.name: tag for tag in session.query(Tag)}
    session.add_all(files)
    session.add_all(FileTag(media_file=file, tag=named["Meeting"]) for file in files)
    session.add_all(FileTag(media_file=file, tag=named["Interview"]) for file in files[:2])
    session.commit()
    return session


def run(capsys: pytest.CaptureFixture[str], url: URL, *words: str) -> tuple[int, str, str]:
    code = command.run(tags.parser(), tags.act, ["--dsn", url.render_as_string(hide_password=False), *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_tags_with_counts_of_their_files(tagged: Session):
    counted = [(tag.name, tag.files) for tag in tags_in_use(tagged)]
    assert counted == [("Meeting", 5), ("Interview", 2), ("Important", 0), ("Personal", 0)]


def test_files_by_tag_newest_first(tagged: Session):
    total, files = files_by_tag(tagged, ["Meeting"], None, limit=10)
    assert (total, [file.filename for file in files]) == (5, ["4.mp3", "3.mp3", "2.mp3", "1.mp3", "0.mp3"])
    assert (files[0].user, files[0].tags, files[0].status) == ("bob@example.org", ["Meeting"], "pending")


@pytest.mark.parametrize("names", [["Meeting", "Interview"], ["Interview", "Meeting"]])
def test_several_tags_must_all_be_there(tagged: Session, names: list[str]):
    total, files = files_by_tag(tagged, names, None, limit=10)
    assert (total, [file.filename for file in files]) == (2, ["1.mp3", "0.mp3"])
    assert files[0].tags == ["Interview", "Meeting"]


def test_files_of_one_user(tagged: Session):
    assert files_by_tag(tagged, ["Meeting"], "ann@example.org", limit=1)[0] == 4
    assert files_by_tag(tagged, ["Interview"], "bob@example.org", limit=1) == (0, [])
    total, files = files_by_tag(tagged, [], "bob@example.org", limit=1)
    assert (total, files[0].filename) == (1, "4.mp3")


def test_a_file_without_tags_is_listed_for_its_user(tagged: Session):
    tagged.execute(text("DELETE FROM file_tag"))
    assert files_by_tag(tagged, [], "bob@example.org", limit=1)[1][0].tags == []


def test_unknown_tag_names_the_nearest(tagged: Session):
    with pytest.raises(TagUnknown, match="there is no tag meetign") as raised:
        files_by_tag(tagged, ["meetign"], None, limit=1)
    assert raised.value.near == ["Meeting"]
    assert "did you mean Meeting?" in raised.value.hint


def test_unknown_user_names_the_nearest(tagged: Session):
    with pytest.raises(UserUnknown) as raised:
        files_by_tag(tagged, [], "anne@example.org", limit=1)
    assert raised.value.near[0] == "ann@example.org"


@pytest.mark.parametrize(
    ("first", "second", "differ_in"),
    [
        ("Meeting", "meeting", ["case"]),
        ("To Do", "ToDo", ["spaces"]),
        ("Follow up", "follow-up", ["case", "spaces", "punctuation"]),
        ("Meeting", "Meetings", ["a plural s"]),
        ("Café", "Cafe", ["accents"]),
        ("Q&A", "QA", ["punctuation"]),
        ("Interview", "Interveiw", ["one letter"]),
        ("Interview", "Intervew", ["one letter"]),
        ("Interview", "Intarview", ["one letter"]),
        ("important", "Imporant", ["one letter"]),
    ],
)
def test_names_that_look_alike(first: str, second: str, differ_in: list[str]):
    (pair,) = look_alikes([first, second])
    assert pair.names == tuple(sorted([first, second]))
    assert pair.differ_in == differ_in


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024", "2025"),
        ("Sprint 12", "Sprint 13"),
        ("C", "C++"),
        ("Cat", "Car"),
        ("Boss", "Bos"),
        ("Interview", "Intreveiw"),
    ],
)
def test_names_that_are_two_things(first: str, second: str):
    assert look_alikes([first, second]) == []


def test_many_names_are_compared_in_no_time():
    """Each with each would be 50 million comparisons."""
    names = [f"{n:x}".translate(str.maketrans("0123456789", "ghijklmnop")) * 3 for n in range(10_000)]
    assert [pair.names for pair in look_alikes([*names, "Interview", "interviews"])] == [("Interview", "interviews")]


def test_json_of_tags(database: URL, tagged: Session, capsys: pytest.CaptureFixture[str]):
    tagged.add(Tag(name="meetings"))
    tagged.commit()
    code, out, _ = run(capsys, database, "--json")
    data = json.loads(out)
    assert code == 0
    assert set(data) == {"tags", "unused", "look_alikes"}
    assert set(data["tags"][0]) == {"name", "files", "created_at"}
    assert data["unused"] == ["Important", "Personal", "meetings"]
    assert data["look_alikes"] == [
        {"names": ["Meeting", "meetings"], "files": [5, 0], "differ_in": ["case", "a plural s"]}
    ]


def test_json_of_files(database: URL, tagged: Session, capsys: pytest.CaptureFixture[str]):
    data = json.loads(run(capsys, database, "--json", "--tag", "Meeting", "--tag", "Interview", "--limit", "1")[1])
    assert (data["total"], len(data["files"]), data["files"][0]["tags"]) == (2, 1, ["Interview", "Meeting"])
    assert set(data["files"][0]) == {"id", "filename", "title", "user", "status", "upload_time", "tags"}
    assert tagged


def test_text_of_tags_and_files(database: URL, tagged: Session, capsys: pytest.CaptureFixture[str]):
    tagged.add(Tag(name="meetings"))
    tagged.commit()
    _, out, _ = run(capsys, database)
    assert "Not on any file: Important, Personal, meetings" in out
    assert out.splitlines()[-2].split() == ["Meeting", "5", "meetings", "0", "case", "and", "a", "plural", "s"]
    _, out, _ = run(capsys, database, "--tag", "Meeting", "--limit", "2")
    assert "\x1b" not in out
    assert out.splitlines()[-1] == "the newest 2 of 5; --limit N shows more"


def test_many_unused_tags_are_cut_in_text_and_whole_in_json(
    database: URL, session: Session, capsys: pytest.CaptureFixture[str]
):
    session.add_all(Tag(name=f"tag {n}") for n in range(30))
    session.commit()
    assert ", and 4 more" in run(capsys, database)[1]
    assert len(json.loads(run(capsys, database, "--json")[1])["unused"]) == 34


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--tag", "Meting"], "there is no tag Meting"),
        (["--limit", "0"], "--limit 0"),
        (["--user", "nobody"], "no user nobody"),
    ],
)
def test_wrong_words_are_wrong_usage(database: URL, words: list[str], error: str, capsys: pytest.CaptureFixture[str]):
    code, out, err = run(capsys, database, *words)
    assert (code, out, len(err.splitlines())) == (2, "", 2)
    assert error in err


def test_foreign_database_has_no_tags(empty_database: URL, capsys: pytest.CaptureFixture[str]):
    code, _, err = run(capsys, empty_database)
    assert code == tags.TablesMissing.exit_code
    assert "no tables of OpenTranscribe" in err


def test_role_without_rights(database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]):
    code, _, err = run(capsys, as_role(database, "app_monitor"))
    assert code == errors.RightsMissing.exit_code
    assert "the role app_monitor may not" in err


def test_through_a_pool_and_read_only(
    database: URL, pooled_database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
):
    assert run(capsys, pooled_database)[0] == 0
    assert run(capsys, as_role(database, "app_ro"))[0] == 0


def test_script_runs_from_any_folder(database: URL, tmp_path: Path):
    dsn = connect.parse_url(database.render_as_string(hide_password=False)).render_as_string(hide_password=False)
    argv = [sys.executable, SCRIPT, "--dsn", dsn, "--json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert len(json.loads(done.stdout)["tags"]) == 4
