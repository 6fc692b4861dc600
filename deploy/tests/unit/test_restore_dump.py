"""What a file of SQL is found to be before it is restored, and what psql gets of it."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from opentr.actions import dumpfile, dumptext
from opentr.errors.restore import DumpUnusable

if TYPE_CHECKING:
    from pathlib import Path

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict k7Xd

-- Dumped from database version 14.11 (Debian 14.11-1.pgdg120+2)

SET standard_conforming_strings = on;
CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
CREATE FUNCTION public.told() RETURNS text
    LANGUAGE sql
    AS $_$
GRANT is a word here; \! too
SELECT 'it''s \ fine'
$_$;
ALTER FUNCTION public.told() OWNER TO somebody;
CREATE TABLE public."user" (
    id integer NOT NULL,
    note text DEFAULT 'a;
ALTER TABLE x OWNER TO y;
\connect elsewhere'
);
ALTER TABLE public."user" OWNER TO postgres;
COPY public."user" (id, note) FROM stdin;
1	first
2	\N
3	GRANT ALL
\.


COPY public.tag (id) FROM stdin;
\.


ALTER SEQUENCE public.user_id_seq OWNED BY public."user".id;
GRANT SELECT ON TABLE public."user" TO reporting;
--
-- PostgreSQL database dump complete
--

\unrestrict k7Xd
"""


def lines(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def written(place: Path, content: bytes) -> Path:
    file = place / "dump.sql"
    file.write_bytes(content)
    return file


def test_rows_version_and_grantees_are_told_by_the_dump_itself():
    found = dumptext.examine(lines(DUMP))
    assert found.rows == {"public.user": 3, "public.tag": 0}
    assert found.version == "14.11"
    assert found.grantees == {"reporting"}


def test_owners_and_grants_are_left_out_line_for_line():
    told = list(dumptext.rewritten(lines(DUMP)))
    assert len(told) == len(lines(DUMP))
    changed = {before: after for before, after in zip(lines(DUMP), told, strict=True) if before != after}
    assert changed == {
        b"\\restrict k7Xd\n": b"\n",
        b"\\unrestrict k7Xd\n": b"\n",
        b"CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;\n": b"RESET ROLE; "
        b"CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public; SET ROLE app_owner;\n",
        b"ALTER FUNCTION public.told() OWNER TO somebody;\n": b"\n",
        b'ALTER TABLE public."user" OWNER TO postgres;\n': b"\n",
        b'GRANT SELECT ON TABLE public."user" TO reporting;\n': b"\n",
    }


@pytest.mark.parametrize(
    "order", [b"\\! rm -rf /", b"\\connect elsewhere", b"SELECT 1 \\g |sh", b"\\i /etc/passwd", b"SELECT 1; \\! id"]
)
def test_an_order_to_psql_is_refused(order: bytes):
    text = DUMP.replace(b"CREATE TABLE", order + b"\nCREATE TABLE")
    with pytest.raises(dumptext.Unusable, match="line 18"):
        dumptext.examine(lines(text))
    with pytest.raises(dumptext.Unusable):
        list(dumptext.rewritten(lines(text)))


@pytest.mark.parametrize("count", range(4, len(lines(DUMP)) - 4))
def test_a_dump_that_was_cut_off_anywhere_is_refused(count: int):
    with pytest.raises(dumptext.Unusable, match="cut off"):
        dumptext.examine(lines(DUMP)[:count])


def test_line_ends_of_windows_are_no_matter():
    found = dumptext.examine(lines(DUMP.replace(b"\n", b"\r\n")))
    assert found.rows == {"public.user": 3, "public.tag": 0}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"SELECT 1;\n", "it isn't a dump"),
        (b"--\n-- PostgreSQL database cluster dump\n--\n", "pg_dumpall"),
        (bytes(range(256)) * 4, "neither SQL nor"),
        ("-- PostgreSQL".encode("utf-16"), "UTF-16"),
        (b"toc.dat\x00" + bytes(600), "tar"),
        (gzip.compress(DUMP, mtime=0)[:-20], "gzip can't read it to its end"),
        (gzip.compress(b"", mtime=0), "it is empty"),
    ],
)
def test_what_is_no_dump_is_refused_by_its_reason(tmp_path: Path, content: bytes, reason: str):
    with pytest.raises(DumpUnusable, match=reason):
        dumpfile.examine(written(tmp_path, content))


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path):
    with pytest.raises(DumpUnusable, match="folder"):
        dumpfile.examine(tmp_path)
    with pytest.raises(DumpUnusable, match="No such file"):
        dumpfile.examine(tmp_path / "missing.sql")


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_compressed_or_not_the_same_goes_to_psql(tmp_path: Path, compress):  # noqa: ANN001 - bytes to bytes
    dump = dumpfile.examine(written(tmp_path, compress(DUMP)))
    assert dump.rows == {"public.user": 3, "public.tag": 0}
    assert b"".join(dumpfile.pieces(dump)) == b"".join(dumptext.rewritten(lines(DUMP)))


@pytest.mark.parametrize(("told_bytes", "rows"), [(600, {"public.user": 7}), (599, None)])
def test_the_receipt_beside_a_dump_counts_for_that_file_alone(tmp_path: Path, told_bytes: int, rows: object):
    file = tmp_path / "own.dump"
    file.write_bytes(b"PGDMP".ljust(600, b"\x00"))
    file.with_suffix(".json").write_text(json.dumps({"bytes": told_bytes, "rows": {"public.user": 7}}))
    assert dumpfile.examine(file).rows == rows
