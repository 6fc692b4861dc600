"""What `backup` says of backups and dumps, in lines of at most 80 columns, and as data."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from opentr.cli.statustext import age, amount
from opentr.cli.terminal import columns, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentr.actions.backuplist import Saved
    from opentr.actions.safety import Dump
    from opentr.server.backups import Backup, Receipt

KINDS = {"full": "full", "diff": "differential", "incr": "incremental"}
_TITLES = ("id", "type", "when", "size", "took", "revision", "proven")
_DUMP_TITLES = ("dump", "when", "size", "rows", "revision")
_WIDTH = 10
_TEXT_WIDTH = 70
_UNBROKEN = "\N{NO-BREAK SPACE}"
_KEY_WIDTH = 17
_ID_WIDTH = 12
_VERIFY = "./opentr.sh backup verify"


def listing(saved: Saved) -> list[str]:
    """All backups, the newest last, then what to know of them; and the dumps."""
    lines: list[str] = []
    if saved.repository:
        rows = [_row(each) for each in saved.backups]
        lines += [*columns(rows, titles=_TITLES), ""] if rows else []
        lines += _summary(saved)
    if saved.dumps:
        lines += [*([""] if lines else []), *columns([_dump_row(each) for each in saved.dumps], titles=_DUMP_TITLES)]
    if not saved.backups and not saved.dumps:
        lines.append(f"no backup yet; take one: ./opentr.sh backup {saved.environment}")
    return lines


def taken(found: Backup) -> list[str]:
    """A backup that was just taken."""
    return [
        f"{'backup':{_WIDTH}}{found.id} ({KINDS[found.kind]}, {amount(found.repo_bytes)}, {seconds(found.seconds)})",
        f"{'proven':{_WIDTH}}not yet; try it: {_VERIFY} {found.id}",
    ]


def dumped(found: Dump) -> list[str]:
    """A dump that was just made."""
    rows = f"{sum(found.rows.values()):,} rows in {len(found.rows)} tables"
    return [
        f"{'dump':{_WIDTH}}{found.file}",
        f"{'size':{_WIDTH}}{amount(found.bytes)}",
        f"{'proven':{_WIDTH}}restored beside: {rows}",
    ]


def details(found: Backup, manifest: Mapping[str, Any] | None) -> list[str]:
    """All that is known of a backup."""
    facts = {
        "backup": found.label,
        "type": KINDS[found.kind] + (f", builds on {found.prior.rpartition('_')[2]}" if found.prior else ""),
        "taken": f"{_moment(found.started_at)}, in {seconds(found.seconds)}; {age(found.stopped_at)} ago",
        "reason": found.reason,
        "size": f"{amount(found.repo_bytes)} in the repository; the database had {amount(found.bytes)}",
        "version": found.version,
        "revision": found.revision,
        "pages": "BROKEN ones were met in the live database" if found.error else "each checksum was right",
        "restores": f"to {found.restore_point}" if found.restore_point else "",
        "proven": _proof(found),
    }
    lines = [f"{title:{_WIDTH}}{text}" for title, text in facts.items() if text]
    if found.receipt:
        lines += _indented(found.receipt.objects or parts(found.receipt))
    if found.images:
        lines += ["", "images of the release", *_images(found.images)]
    return [*lines, *_manifest(manifest)] if manifest else lines


def dump_details(found: Dump) -> list[str]:
    """All that is known of a dump."""
    facts = {
        "dump": found.file,
        "taken": f"{_moment(datetime.fromisoformat(found.made_at))}; restored beside and compared then",
        "size": amount(found.bytes),
        "revision": found.revision,
    }
    rows = [{"table": name, "rows": f"{count:,}"} for name, count in found.rows.items()]
    return [
        *(f"{title:{_WIDTH}}{text}" for title, text in facts.items() if text),
        "",
        *columns(rows, titles=("table", "rows")),
    ]


def proven(receipt: Receipt) -> list[str]:
    """A proof that went well."""
    compared = f"{receipt.rows:,} rows in {receipt.tables} tables are as they were; every page and index is sound"
    took, *more = parts(receipt)
    return [
        f"{'proven':{_WIDTH}}{receipt.label}",
        *_indented([compared]),
        f"{'took':{_WIDTH}}{took}",
        *_indented(more),
    ]


def parts(receipt: Receipt) -> list[str]:
    """What took how long: restore 2.1 s, replay 0.3 s; in lines that fit."""
    told = ", ".join(f"{part} {seconds(took)}".replace(" ", _UNBROKEN) for part, took in receipt.seconds.items())
    return [line.replace(_UNBROKEN, " ") for line in textwrap.wrap(told, _TEXT_WIDTH)] or [""]


def data(found: Backup) -> dict[str, Any]:
    """A backup, for programs."""
    receipt = found.receipt.data() if found.receipt else None
    times = {"started_at": found.started_at.isoformat(), "stopped_at": found.stopped_at.isoformat()}
    counted = {"id": found.id, "proven": found.proven, "seconds": found.seconds}
    return asdict(found) | times | {"receipt": receipt} | counted


def dump_data(found: Dump) -> dict[str, Any]:
    """A dump, for programs."""
    return asdict(found) | {"id": found.id, "kind": "dump"}


def _row(found: Backup) -> dict[str, str]:
    return {
        "id": found.id,
        "type": found.kind,
        "when": f"{found.started_at.astimezone():%b %d %H:%M}",
        "size": amount(found.repo_bytes),
        "took": seconds(found.seconds),
        "revision": found.revision,
        "proven": _short_proof(found),
    }


def _short_proof(found: Backup) -> str:
    if found.receipt:
        return f"{age(found.receipt.proven_at)} ago" if found.receipt.ok else "FAILED"
    if found.error:
        return "broken"
    return "no" if found.restore_point else "can't be"


def _proof(found: Backup) -> str:
    if found.receipt and found.receipt.ok:
        return f"{_moment(found.receipt.proven_at)}, {age(found.receipt.proven_at)} ago: restored, all is right"
    if found.receipt:
        return f"the proof FAILED, {_moment(found.receipt.proven_at)}, {age(found.receipt.proven_at)} ago:"
    if not found.restore_point:
        return "can't be: it was cut short before its manifest"
    return f"nobody has tried; try it: {_VERIFY} {found.id}"


def _summary(saved: Saved) -> list[str]:
    if not (saved.repository and saved.backups):
        return []
    count = len(saved.backups)
    taken_up = amount(sum(each.repo_bytes for each in saved.backups))
    room = f"{amount(saved.repository.free_bytes)} of {amount(saved.repository.disk_bytes)} free"
    proven_ones = [each for each in saved.backups if each.proven]
    newest = f"newest proven: {proven_ones[-1].id}" if proven_ones else f"none is proven; {_VERIFY} tries the newest"
    failed = [each for each in saved.backups if each.receipt and not each.receipt.ok]
    why = [f"{each.id} can't be relied on: {each.receipt.objects[0]}" for each in failed if each.receipt]
    return [f"{count} backup{'s' if count > 1 else ''}, {taken_up}; {room}; {newest}", *why]


def _dump_row(found: Dump) -> dict[str, str]:
    return {
        "dump": found.id,
        "when": f"{datetime.fromisoformat(found.made_at).astimezone():%b %d %H:%M}",
        "size": amount(found.bytes),
        "rows": f"{sum(found.rows.values()):,}",
        "revision": found.revision,
    }


def _manifest(manifest: Mapping[str, Any]) -> list[str]:
    rows = [
        {"table": name, "rows": f"{each['rows']:,}", "first": _key(each.get("first")), "last": _key(each.get("last"))}
        for name, each in sorted(manifest["tables"].items())
    ]
    at = _moment(datetime.fromisoformat(manifest["taken_at"]))
    return ["", f"what is in it, as of {at}", *columns(rows, titles=("table", "rows", "first", "last"))]


def _key(value: object) -> str:
    """A primary key, which the manifest has as the text of a JSON list; cut."""
    text = str(value or "").removeprefix("[").removesuffix("]").replace('"', "")
    return text if len(text) <= _KEY_WIDTH else f"{text[:_KEY_WIDTH]}…"


def _images(annotation: str) -> list[str]:
    """Each on a line; of an id as much as docker shows."""
    named = [each.partition("=") for each in annotation.split()]
    return [f"{name:{_WIDTH}}{_short(image)}" for name, _, image in sorted(named)]


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:_ID_WIDTH] if image.startswith("sha256:") else image


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"{'':{_WIDTH}}{line}" for line in lines]
