"""What is read from the repository, chosen of it, and said about it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from opentr import process
from opentr.actions import backup, backuplist, backupstate
from opentr.actions.backup import Fault
from opentr.actions.safety import Dump
from opentr.cli import backuptext, statustext
from opentr.errors.backup import BackupAmbiguous, BackupUnknown, NoBackups, RepositoryUnreadable
from opentr.server import backups
from opentr.server.backups import Archiver, Backup, Receipt, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentr.runtimes.base import Runtime

NOW = datetime(2026, 11, 22, 23, 20, tzinfo=UTC)
FULL, INCR = "20261122-221530F", "20261122-221530F_20261122-231500I"
# As pgBackRest 2.55 tells it, less what we don't read.
INFO = {
    "name": "main",
    "status": {"code": 0, "message": "ok"},
    "repo": [{"key": 1, "status": {"code": 0, "message": "ok"}}],
    "backup": [
        {
            "label": FULL,
            "type": "full",
            "error": False,
            "prior": None,
            "timestamp": {"start": 1_795_385_730, "stop": 1_795_385_734},
            "info": {"size": 23_000_000, "repository": {"delta": 3_100_000}},
            "annotation": {"version": "0.1.0", "images": "api=sha256:1 postgres=sha256:2", "revision": "0010"},
        },
        {
            "label": INCR,
            "type": "incr",
            "error": True,
            "prior": FULL,
            "timestamp": {"start": 1_795_389_300, "stop": 1_795_389_301},
            "info": {"size": 23_100_000, "repository": {"delta": 410_000}},
        },
    ],
}
RECEIPT = {"label": FULL, "ok": True, "proven_at": "2026-11-22T22:20:00Z", "seconds": {"restore": 2.1}, "tables": 13}


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statustext, "now", lambda: NOW)


def info(**changes: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps([INFO | changes])


def read(told: str = "", **documents: dict[str, Any]) -> list[Backup]:
    found = {
        ("receipts" if name == "receipt" else "manifests", each["label"]): each for name, each in documents.items()
    }
    return backups.read_info(told or info(), found)


def made(label: str, kind: str = "full", *, hours: float = 1, **fields: Any) -> Backup:  # noqa: ANN401 - of a backup
    began = NOW - timedelta(hours=hours)
    plain = Backup(label, kind, began, began + timedelta(seconds=4), 23_000_000, 3_100_000, error=False)
    return replace(plain, restore_point="point", **fields)


def receipt(label: str, *, ok: bool = True, hours: float = 0.5, objects: tuple[str, ...] = ()) -> Receipt:
    return Receipt(label, ok, NOW - timedelta(hours=hours), objects=objects)


def test_backups_are_told_with_manifest_receipt_and_what_was_noted():
    full, incr = read(manifest={"label": FULL, "restore_point": "opentr-1"}, receipt=RECEIPT)
    assert (full.label, full.kind, full.revision, full.restore_point) == (FULL, "full", "0010", "opentr-1")
    assert full.proven
    assert full.seconds == 4
    assert (incr.id, incr.prior, incr.error, incr.proven, incr.receipt) == ("20261122-231500I", FULL, True, False, None)


def test_a_failed_proof_is_told_apart_from_one_that_nobody_made():
    failed = RECEIPT | {"ok": False, "objects": ["table public.comment: 120 rows in the manifest, 119 restored"]}
    full, incr = read(receipt=failed)
    assert not full.proven
    assert full.receipt
    assert full.receipt.objects == ("table public.comment: 120 rows in the manifest, 119 restored",)
    assert incr.receipt is None


def test_a_receipt_survives_being_written_and_read():
    one = Receipt(FULL, ok=True, proven_at=NOW, restore_point="p", bytes=5, seconds={"restore": 2.1}, tables=1, rows=2)
    assert Receipt.read(json.loads(json.dumps(one.data()))) == one


@pytest.mark.parametrize("damaged", [{}, {"ok": True}, RECEIPT | {"proven_at": "yesterday"}])
def test_a_damaged_receipt_proves_nothing(damaged: dict[str, Any]):
    assert read(receipt={"label": FULL} | damaged)[0].receipt is None


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_repository_without_backups_yet_is_no_fault(code: int):
    assert read(info(status={"code": code, "message": "missing stanza path"}, backup=[])) == []


def test_a_fault_of_the_repository_is_told_though_pgbackrest_ended_well():
    with pytest.raises(RepositoryUnreadable) as told:
        read(info(status={"code": 99, "message": "other", "lock": {}}, backup=[]))
    assert "other" in told.value.what


@pytest.mark.parametrize("told", ["", "{", "[{}]", '[{"name": "main"}]'])
def test_what_is_no_answer_of_pgbackrest_is_refused(told: str):
    with pytest.raises(RepositoryUnreadable):
        backups.read_info(told, {})


# Which one is meant


KNOWN = [made(FULL, hours=1), made(INCR, "incr", hours=0.1), made("20261121-100000F", hours=30)][::-1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("newest", FULL),
        (FULL, FULL),
        (INCR, INCR),
        ("20261122-231500I", INCR),
        ("20261122-2315", INCR),
        ("20261121", "20261121-100000F"),
        ("20261122-221530F_", INCR),
    ],
)
def test_a_backup_is_found_by_id_label_beginning_or_as_the_newest(wanted: str, found: str):
    assert backup.find(KNOWN, wanted, "prod").label == found


def test_the_newest_is_one_that_can_be_restored_and_the_others_are_named():
    failed = made("20261122-225000F", hours=0.5, receipt=receipt("20261122-225000F", ok=False))
    broken = replace(made("20261122-230000F", hours=0.3), error=True)
    cut_short = replace(made("20261122-231000F", hours=0.2), restore_point=None)
    found = [made(FULL), failed, broken, cut_short]
    newest = backup.find(found, "newest", "prod")
    assert newest.label == FULL
    assert backup.passed_over(found, newest) == [
        "backup 20261122-231000F is passed over: it has no manifest",
        "backup 20261122-230000F is passed over: it has broken pages",
        "backup 20261122-225000F is passed over: its proof failed",
    ]
    assert backup.find(found, failed.id, "prod") == failed
    assert backup.find([cut_short], "newest", "prod") == cut_short
    assert backuplist.find(backuplist.Saved("prod", Repository(tuple(found), 0, 0), []), "newest") == cut_short


def test_an_unknown_id_is_told_with_the_nearest_and_the_newest():
    with pytest.raises(BackupUnknown) as told:
        backup.find(KNOWN, "20261122-231501I", "prod")
    assert told.value.nearest == "20261122-231500I"
    assert told.value.known[0] == FULL
    assert told.value.exit_code == 2


def test_a_beginning_that_several_share_is_refused():
    with pytest.raises(BackupAmbiguous) as told:
        backup.find(KNOWN, "20261122", "prod")
    assert set(told.value.matches) == {FULL, "20261122-231500I"}


def test_without_backups_the_command_that_takes_one_is_told():
    with pytest.raises(NoBackups) as told:
        backup.find([], "newest", "prod")
    assert told.value.hint.endswith("./opentr.sh backup prod")


DUMP = Dump("/state/backups/20261122T221530Z-0010.dump", 4_000, "0010", {"public.tag": 4}, NOW.isoformat())


def test_dumps_are_found_beside_the_backups():
    room = Repository(tuple(KNOWN), 8_000_000_000, 9_000_000_000)
    saved = backuplist.Saved("prod", room, [DUMP])
    assert backuplist.find(saved, DUMP.id) == DUMP
    assert backuplist.find(saved, "20261122T") == DUMP
    assert backuplist.find(saved, "newest") == KNOWN[-1]
    assert backuplist.find(backuplist.Saved("dev", None, [DUMP]), "newest") == DUMP


# How much room it will take


@pytest.mark.parametrize(
    ("kind", "known", "expected"),
    [
        ("full", [], 1200),
        ("full", [made(FULL, bytes=1000, repo_bytes=250)], 300),
        ("incr", [made(FULL, bytes=1000, repo_bytes=250)], 100),
        ("incr", [made(FULL, bytes=1000, repo_bytes=250), made(INCR, "incr", repo_bytes=20)], 40),
        ("incr", [made(FULL, bytes=1000, repo_bytes=250), made(INCR, "incr", repo_bytes=900)], 300),
    ],
)
def test_the_room_is_estimated_by_what_the_ones_before_took(kind: str, known: list[Backup], expected: int):
    assert backup.expected_bytes(known, kind, 1000) == expected


# What the programs of the image say


class Programs:
    """Runs a program of this machine where a container would run one of the image."""

    def __init__(self, code: str) -> None:
        self.code = code

    @contextmanager
    def follow_once(self, _service: str, _argv: Sequence[str]) -> Iterator[Iterator[str]]:
        with process.lines([sys.executable, "-c", self.code]) as lines:
            yield lines


def followed(code: str) -> dict[str, Any] | Fault:
    return backup.followed(cast("Runtime", Programs(code)), "proof", ["prove_backup"])


def test_the_last_document_is_the_result_and_progress_is_none():
    assert followed("""print('progress: 3 of 4'); print('{"a": 1}'); print('{"label": "x"}')""") == {"label": "x"}


@pytest.mark.parametrize(
    ("document", "lines", "words"),
    [
        (
            '{"fault": "it differs", "objects": ["table a", "table b"]}',
            ("table a", "table b"),
            "it differs: table a; table b",
        ),
        ('{"fault": "no file /x/y", "object": "file /x/y"}', ("no file /x/y",), "no file /x/y"),
        ('{"fault": "room", "object": "/x: 5 are needed"}', ("/x: 5 are needed",), "/x: 5 are needed"),
        ('{"fault": "nothing there"}', ("nothing there",), "nothing there"),
    ],
)
def test_a_fault_names_its_objects_once(document: str, lines: tuple[str, ...], words: str):
    fault = followed(f"print({document!r}); raise SystemExit(1)")
    assert isinstance(fault, Fault)
    assert fault.lines == lines
    assert fault.words == words


def test_a_program_that_dies_without_a_word_for_us_is_quoted():
    fault = followed("print('starting'); print('P00  ERROR: [082]: no key'); print('bye'); raise SystemExit(1)")
    assert isinstance(fault, Fault)
    assert fault.what == ""
    assert fault.words == "P00  ERROR: [082]: no key"


def test_a_program_that_ends_well_without_a_result_has_failed():
    assert isinstance(followed("print('progress: done')"), Fault)


# What is said


def saved(*found: Backup, dumps: Sequence[Dump] = ()) -> backuplist.Saved:
    return backuplist.Saved("prod", Repository(found, 8_100_000_000, 271_000_000_000), dumps)


def test_the_list_tells_when_how_large_how_long_and_whether_it_is_proven():
    bad = "table public.comment: 120 rows in the manifest, 119 restored"
    lines = backuptext.listing(
        saved(
            made("20261121-100000F", hours=30, receipt=receipt("20261121-100000F", ok=False, objects=(bad,))),
            made(FULL, revision="0010", receipt=receipt(FULL)),
            made(INCR, "incr", hours=0.1, revision="0010"),
        )
    )
    assert lines[0].split() == ["ID", "TYPE", "WHEN", "SIZE", "TOOK", "REVISION", "PROVEN"]
    assert [line.split("  ")[-1] for line in lines[1:4]] == ["FAILED", "30 min ago", "no"]
    assert lines[-2] == f"3 backups, 9.3 MB; 8.1 GB of 271 GB free; newest proven: {FULL}"
    assert lines[-1] == f"20261121-100000F can't be relied on: {bad}"


def test_the_list_fits_80_columns():
    slow = made(INCR, "incr", repo_bytes=999_000, revision="0010", receipt=receipt(INCR, hours=0.9))
    slow = replace(slow, stopped_at=slow.started_at + timedelta(minutes=59, seconds=59))
    assert max(map(len, backuptext.listing(saved(slow, dumps=[DUMP])))) <= 80


def test_an_empty_list_says_what_to_type():
    assert backuptext.listing(saved()) == ["no backup yet; take one: ./opentr.sh backup prod"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nobody has tried"),
        ({"receipt": receipt(FULL)}, "restored, all is right"),
        ({"receipt": receipt(FULL, ok=False, objects=("file base/1/2",))}, "the proof FAILED"),
        ({"restore_point": None}, "cut short before its manifest"),
        ({"error": True}, "BROKEN"),
    ],
)
def test_the_details_tell_what_is_known_of_the_proof(fields: dict[str, Any], words: str):
    text = "\n".join(backuptext.details(replace(made(FULL), **fields), None))
    assert words in text
    assert max(map(len, text.splitlines())) <= 80


def test_data_of_a_backup_is_json():
    known = json.loads(json.dumps(backuptext.data(made(FULL, receipt=receipt(FULL)))))
    assert known["id"] == FULL
    assert known["proven"] is True
    assert known["receipt"]["ok"] is True
    assert datetime.fromisoformat(known["started_at"]) == NOW - timedelta(hours=1)


# Whether production could be brought back


WELL = [made(FULL, hours=1, receipt=receipt(FULL))]
FINE = Archiver(waiting=0)


def notes(found: Sequence[Backup] = WELL, archiver: Archiver = FINE, every: int = 3600) -> list[str]:
    return statustext._backup_notes(backupstate.of(found, archiver, every))  # noqa: SLF001 - said in status alone


def test_nothing_is_to_be_done_where_all_is_well():
    assert notes() == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], "there is no backup yet: ./opentr.sh backup prod"),
        ([made(FULL, hours=1)], "no backup is proven yet: ./opentr.sh backup verify"),
        ([made(FULL, hours=3, receipt=receipt(FULL))], "the newest backup is 2 h old"),
        ([made(FULL, hours=9 * 24, receipt=receipt(FULL)), made(INCR)], "the newest proven backup is 8 d old"),
        (
            [*WELL, made(INCR, receipt=receipt(INCR, ok=False, hours=0.1, objects=("file x",)))],
            "backup 20261122-231500I can't be relied on: file x; take a new one",
        ),
    ],
)
def test_what_stands_in_the_way_is_told_with_what_to_type(found: list[Backup], words: str):
    assert any(words in note for note in notes(found))


def test_a_failed_proof_is_forgotten_once_a_later_one_was_right():
    bad = made("20261121-100000F", hours=30, receipt=receipt("20261121-100000F", ok=False, hours=20))
    assert notes([bad, *WELL]) == []


def test_without_a_schedule_no_backup_is_late():
    assert notes([made(FULL, hours=50, receipt=receipt(FULL))], every=0) == []


def test_archiving_that_fails_is_told_with_since_when_and_how_much_waits():
    failing = Archiver(waiting=14, failing_since=NOW - timedelta(hours=3))
    assert notes(archiver=failing) == [
        "archiving has failed for 3 h, 14 segments of WAL wait: ./opentr.sh logs prod postgres"
    ]
