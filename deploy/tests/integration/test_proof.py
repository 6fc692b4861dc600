"""What a proof notices, on real damage: of rows, pages and indexes of the copy that it has restored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import prod_without_schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.containers import Engine
    from tests.integration.programs import Programs

TABLES = """
CREATE TYPE public.mood AS ENUM ('low', 'high');
CREATE TABLE public.pairs (a int, b text);
INSERT INTO public.pairs VALUES (1, 'x'), (2, 'y'), (NULL, NULL);
CREATE TABLE public.many (gone int, a bool, b "char", c name, d int8, e uuid, f bytea, g date, h timetz, i timestamptz,
    j varchar(9), k float4, l float8, m numeric, n jsonb, o json, p xml, q tsvector, r public.mood, s public.pairs,
    t int[], u point, v interval, w char(4), x inet, y int4range, z float8 GENERATED ALWAYS AS (l * 2) STORED);
ALTER TABLE public.many DROP COLUMN gone;
INSERT INTO public.many (a, d, i, l, m, n, s, t, w)
    VALUES (true, 1, '2000-01-01 00:00:00.000001Z', 0, 1.0, '{"a": 1.0}', '(1,x)', '{1}', 'a');
INSERT INTO public.many (l) VALUES ('NaN');
CREATE TABLE public.no_columns ();
INSERT INTO public.no_columns DEFAULT VALUES;
"""


@pytest.fixture(scope="module")
def programs(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with prod_without_schedule(engine, tmp_path_factory.mktemp("state")) as found:
        found.psql(TABLES)
        yield found


@pytest.fixture(scope="module")
def label(programs: Programs) -> str:
    """A backup of all of this."""
    return str(programs.take("full")["label"])


def test_columns_of_every_type_are_proven(programs: Programs, label: str) -> None:
    assert programs.manifest(label)["sums"] == "columns"
    assert programs.prove(label).get("ok") is True


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE public.pairs SET b = CASE b WHEN 'x' THEN 'y' WHEN 'y' THEN 'x' END",  # rows that swap a value
        "UPDATE public.pairs SET b = '' WHERE a IS NULL",
        "UPDATE public.many SET d = 4294967296 WHERE a",  # the hash of its type is that of 1
        "UPDATE public.many SET i = '2000-01-01 01:11:34.967296Z' WHERE a",  # likewise
        "UPDATE public.many SET l = '-0' WHERE a",  # as in all of these, = finds no difference
        "UPDATE public.many SET m = 1.00 WHERE a",
        """UPDATE public.many SET n = '{"a": 1.00}' WHERE a""",
    ],
)
@pytest.mark.parametrize("sums", ["columns", "text"])
def test_a_change_that_text_would_show_changes_the_sum(programs: Programs, change: str, sums: str) -> None:
    table = change.split()[1]
    before, after = programs.sums(sums=sums), programs.sums(change, sums=sums)
    assert before[table] != after[table]
    assert {name: text for name, text in before.items() if name != table} == {
        name: text for name, text in after.items() if name != table
    }


def test_a_manifest_of_the_first_kind_is_compared_in_its_own_way(programs: Programs, label: str) -> None:
    manifest = programs.manifest(label)
    first = manifest | {"tables": {name: dict(each) for name, each in manifest["tables"].items()}}
    del first["sums"]
    for name, text in programs.sums(sums="text").items():
        first["tables"][name]["sum"] = text
    try:
        programs.rewrite_manifest(label, first)
        assert programs.prove(label).get("ok") is True
        first["tables"]["public.pairs"]["sum"] = manifest["tables"]["public.pairs"]["sum"]
        programs.rewrite_manifest(label, first)
        answer = programs.prove(label)
        assert answer["objects"] == ["table public.pairs: as many rows as in the manifest, with another content"]
        programs.rewrite_manifest(label, manifest | {"sums": "of a later version"})
        assert programs.prove(label)["fault"] == f"the manifest of backup {label} can't be read"
    finally:
        programs.rewrite_manifest(label, manifest)


def test_a_restore_that_differs_is_told_by_table(programs: Programs, label: str) -> None:
    manifest = programs.manifest(label)
    changed = manifest["tables"] | {"public.pairs": manifest["tables"]["public.pairs"] | {"rows": 7}}
    try:
        programs.rewrite_manifest(label, manifest | {"tables": changed})
        assert programs.prove(label)["objects"] == ["table public.pairs: 7 rows in the manifest, 3 restored"]
    finally:
        programs.rewrite_manifest(label, manifest)


def test_a_page_that_went_bad_in_the_copy_is_told_with_its_file(programs: Programs, label: str) -> None:
    """It goes bad between the last look at its rows and that at its checksum: the disk under the copy does it."""
    path = programs.psql("SELECT pg_relation_filepath('public.pairs')")
    write = f"printf GARBAGE | dd of=/var/lib/proof/data/{path} bs=1 seek=5000 conv=notrunc status=none"
    answer = programs.prove(label, pg_checksums=f'{write}; command pg_checksums "$@"')
    assert answer["fault"] == "page checksums are wrong"
    [damaged] = answer["objects"]
    assert damaged.endswith(f"{path}, block 0")


def test_an_index_that_has_lost_its_order_is_told_by_name(programs: Programs) -> None:
    """Each page is as it was written; what the index was ordered by has changed since, as when a collation does."""
    programs.psql(
        "CREATE FUNCTION public.place(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1';"
        "CREATE TABLE public.placed AS SELECT generate_series(1, 1000) AS a;"
        "CREATE INDEX placed_idx ON public.placed (public.place(a));"
        "CREATE OR REPLACE FUNCTION public.place(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -$1'"
    )
    try:
        answer = programs.prove(programs.take()["label"])
        assert answer["fault"] == "amcheck found damage"
        assert any("public.placed_idx" in each or "public.placed" in each for each in answer["objects"])
    finally:
        programs.psql("DROP TABLE public.placed; DROP FUNCTION public.place")
