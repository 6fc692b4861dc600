"""Logs of local services: what `launch` writes down is what is read, in order, also while files change their names."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opentr.runtimes import launch, logfiles
from opentr.runtimes.base import LogQuery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.runtimes.base import LogLine

LONG_AGO = datetime.fromtimestamp(0, UTC)


def write(folder: Path, service: str, *lines: str) -> None:
    """As the process beside a service does."""
    launch.write_lines(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), folder / service)


def texts(found: Iterator[LogLine]) -> list[str]:
    return [line.text for line in found]


def read(folder: Path, *services: str, **query: object) -> list[str]:
    return texts(logfiles.lines(folder, services or ("api",), LogQuery(**query)))  # type: ignore[arg-type]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are large already with a few lines in them."""
    monkeypatch.setattr(launch, "LOG_BYTES", 200)


def test_what_was_written_is_read_with_its_time(tmp_path: Path):
    before = datetime.now(UTC)
    write(tmp_path, "api", "one", "", "  two  ")
    found = list(logfiles.lines(tmp_path, ["api"], LogQuery()))
    assert [(line.service, line.text) for line in found] == [("api", "one"), ("api", ""), ("api", "  two  ")]
    times = [before, *(line.time for line in found), datetime.now(UTC)]
    assert times == sorted(times)


def test_services_are_merged_by_time_and_others_left_out(tmp_path: Path):
    for number in range(4):
        write(tmp_path, ("api", "redis")[number % 2], str(number))
    write(tmp_path, "worker", "not asked for")
    assert read(tmp_path, "api", "redis", "postgres") == ["0", "1", "2", "3"]
    assert read(tmp_path, "api", "redis", services=("redis",)) == ["1", "3"]


def test_no_log_is_no_line(tmp_path: Path):
    assert read(tmp_path) == []
    assert logfiles.last(tmp_path, "api", 5, LONG_AGO) == []


def test_tail_and_since(tmp_path: Path):
    write(tmp_path, "api", *"abcd")
    third = list(logfiles.lines(tmp_path, ["api"], LogQuery()))[2]
    assert read(tmp_path, since=third.time) == ["c", "d"]
    assert read(tmp_path, tail=3) == ["b", "c", "d"]
    assert read(tmp_path, tail=1, since=third.time) == ["d"]
    assert read(tmp_path, tail=0) == []
    assert logfiles.last(tmp_path, "api", 2, LONG_AGO) == ["c", "d"]
    assert logfiles.last(tmp_path, "api", 9, third.time) == ["c", "d"]


@pytest.mark.usefixtures("small")
def test_older_files_are_read_first_and_the_oldest_are_dropped(tmp_path: Path):
    lines = [f"line {number:03}" for number in range(100)]
    write(tmp_path, "api", *lines)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files[-launch.LOG_FILES + 1 :] == [f"api.{number}" for number in range(1, launch.LOG_FILES)]
    found = read(tmp_path)
    assert 10 < len(found) < 60
    assert found == lines[-len(found) :]
    assert all(path.stat().st_size < 300 for path in tmp_path.iterdir())


@pytest.mark.usefixtures("small")
def test_files_that_were_last_written_before_are_not_read_through(tmp_path: Path):
    write(tmp_path, "api", *(f"line {number}" for number in range(12)))
    every = list(logfiles.lines(tmp_path, ["api"], LogQuery()))
    os.utime(max(tmp_path.glob("api.*")), (1, 1))
    found = read(tmp_path, since=every[0].time)
    assert (found[0], found[-1]) != (every[0].text, every[-1].text)
    assert found == [line.text for line in every][-len(found) :]


def following(folder: Path, **query: object) -> Iterator[LogLine]:
    return logfiles.lines(folder, ["api"], LogQuery(follow=True, **query))  # type: ignore[arg-type]


def test_following_gives_what_comes_also_where_there_was_no_file(tmp_path: Path):
    write(tmp_path, "redis", "there")
    found = logfiles.lines(tmp_path, ["api", "redis"], LogQuery(follow=True))
    assert next(found).text == "there"
    write(tmp_path, "api", "first")
    assert next(found).text == "first"
    write(tmp_path, "redis", "second")
    assert next(found).text == "second"


@pytest.mark.usefixtures("small")
def test_following_misses_nothing_when_a_file_is_renamed(tmp_path: Path):
    write(tmp_path, "api", "begin")
    found = following(tmp_path)
    assert next(found).text == "begin"
    for number in range(30):
        write(tmp_path, "api", f"a {number}", f"b {number}")
        assert [next(found).text, next(found).text] == [f"a {number}", f"b {number}"]


@pytest.mark.usefixtures("small")
def test_following_misses_nothing_when_a_file_is_renamed_more_than_once_meanwhile(tmp_path: Path):
    write(tmp_path, "api", "begin")
    found = following(tmp_path)
    assert next(found).text == "begin"
    lines = [f"line {number}" for number in range(15)]
    write(tmp_path, "api", *lines)
    assert (tmp_path / "api.2").exists()
    assert [next(found).text for _ in lines] == lines


def test_half_a_line_is_waited_for(tmp_path: Path):
    write(tmp_path, "api", "whole")
    found = following(tmp_path)
    assert next(found).text == "whole"
    write(tmp_path, "copy", "in two parts")
    line = (tmp_path / "copy").read_bytes()
    with (tmp_path / "api").open("ab", buffering=0) as file:
        file.write(line[:35])
        assert read(tmp_path) == ["whole"]
        file.write(line[35:])
    assert next(found).text == "in two parts"


def test_a_line_that_a_full_disk_has_cut_off_harms_no_other(tmp_path: Path):
    write(tmp_path, "api", "before")
    with (tmp_path / "api").open("ab") as file:
        file.write(b"2026-11-2\n")
    write(tmp_path, "api", "after")
    assert {"before", "after"} <= set(read(tmp_path))
    assert {"before", "after"} <= set(read(tmp_path, since=LONG_AGO))


@given(st.lists(st.binary(max_size=60).filter(lambda part: b"\n" not in part), max_size=30))
def test_whatever_bytes_are_written_come_back(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]):
    folder = tmp_path_factory.mktemp("logs")
    launch.write_lines(io.BytesIO(b"".join(line + b"\n" for line in lines)), folder / "api")
    assert read(folder) == [line.decode(errors="replace") for line in lines]


def test_a_line_without_end_is_cut_into_parts_and_ends_with_its_writer(tmp_path: Path):
    launch.write_lines(io.BytesIO(b"x" * (launch.LONGEST_LINE + 5) + b"\nlast"), tmp_path / "api")
    assert [len(line) for line in read(tmp_path)] == [launch.LONGEST_LINE, 5, 4]
