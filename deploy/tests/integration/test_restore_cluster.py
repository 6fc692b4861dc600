"""`restore_cluster put`, killed between any two of its moves and on a full disk, on folders with a cluster's id."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.stacks import Stack

MOST_MOVES = 40
"""More than one `put` has."""
VOLUME = "/var/lib/postgresql"
LAYOUT = """
cluster() {
    mkdir "$1"
    echo 17 >"$1/PG_VERSION"
    echo "port = 1" >"$1/postgresql.auto.conf"
    echo "$2" >"$1/.opentr-cluster"
}
layout() {
    rm -rf data data.*
    cluster data old
    cluster data.restored new
    cluster data.replaced earlier
}
"""
# `mv` and `rm` that kill who calls them at the n-th call, before they do it or after.
TOOLS = """
mkdir /tmp/tools
for name in mv rm; do
    cat >/tmp/tools/$name <<END
#!/bin/bash
number=\\$((\\$(<//tmp/calls) + 1))
echo \\$number >/tmp/calls
if [[ \\$number == \\$DIE_AT && \\$DIE == before ]]; then kill -9 \\$PPID; exit 1; fi
/usr/bin/$name "\\$@" || exit
if [[ \\$number == \\$DIE_AT && \\$DIE == after ]]; then kill -9 \\$PPID; fi
END
    chmod +x /tmp/tools/$name
done
killed() { # when, at which call, words
    local status=0
    layout
    echo 0 >/tmp/calls
    DIE=$1 DIE_AT=$2 PATH=/tmp/tools:$PATH restore_cluster "${@:3}" >/tmp/said 2>&1 || status=$?
    ((status == 0)) || restore_cluster look >/tmp/said
    return $status
}
report() { # which way
    printf '%s %s %s %s %s\\n' "$1" "$die" "$number" "$(restore_cluster look)" "$(ls -d data.* | sort | paste -sd ,)"
}
for die in before after; do
    for ((number = 1; number < most; number++)); do
        killed "$die" "$number" put new && break
        cat data*/PG_VERSION | grep -c 17 | sed 's/^/whole /'
        restore_cluster put old >/tmp/said
        restore_cluster drop new >/tmp/said
        report back
        killed "$die" "$number" put new && break
        restore_cluster put new >/tmp/said
        restore_cluster tidy >/tmp/said
        report on
    done
done
"""
FULL = """
layout
restore_cluster put new
dd if=/dev/zero of=filler bs=4k 2>/tmp/dd || grep -q 'No space left' /tmp/dd
restore_cluster put old
ls data/recovery.signal
grep recovery_target_timeline data/postgresql.auto.conf
"""
FREE = """
layout
restore_cluster free another
restore_cluster free earlier
rm -r data
cluster data.replaced last
restore_cluster free last && exit 9
[[ -e data.replaced ]]
"""

# A repository of two backups; the proof of the newer one failed. pgBackRest is asked for no more than their list.
REPOSITORY = """
mkdir -p /tmp/tools /var/lib/pgbackrest/receipts
echo '{"ok": false}' >/var/lib/pgbackrest/receipts/20260102-000000F.json
cat >/tmp/tools/pgbackrest <<'END'
#!/bin/bash
jq -cn '["20260101-000000F", "20260102-000000F"] | map({label: ., error: false, info: {size: 5000000}})
    | [{status: {code: 0}, backup: .}]'
END
cat >/tmp/tools/df <<'END'
#!/bin/bash
echo Avail
echo "$FREE"
END
chmod +x /tmp/tools/*
export PATH=/tmp/tools:$PATH
"""
NO_ROOM = f"""{REPOSITORY}
layout
{{ FREE=0 restore_cluster prepare latest || :; }} | tail -n 1
"""
ROOM = f"""{REPOSITORY}
layout
cluster data.older last
for folder in data.restored data.older; do dd if=/dev/zero of=$folder/file bs=1M count=1 status=none; done
export FREE=$((5000000 - 1500000 + 268435456))
restore_cluster ready latest
rm -r data
restore_cluster ready latest || :
"""


class End(NamedTuple):
    """What was there in the end."""

    live: str
    replaced: str
    restored: str
    folders: str


@pytest.fixture(scope="module")
def image(stack: Stack) -> str:
    """The image of Postgres."""
    stack.done("build", "dev")
    references: list[str] = json.loads((stack.state / "images.json").read_text())["references"]
    return next(each for each in references if "/postgres:" in each)


def run(image: str, script: str) -> list[str]:
    """What a script says that runs on a volume of its own, as Postgres's user."""
    words = ["docker", "run", "--rm", "--network", "none", "--tmpfs", f"{VOLUME}:size=8m,uid=10001,mode=0700"]
    command = [*words, "--entrypoint", "bash", "--workdir", VOLUME, image, "-euo", "pipefail", "-c", LAYOUT + script]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout.splitlines()


def test_killed_between_any_two_moves_it_is_taken_back_or_gone_on_with(image: str) -> None:
    said = run(image, f"most={MOST_MOVES}\n{TOOLS}")
    ends: dict[str, list[End]] = {"back": [], "on": []}
    for line in said:
        if line.startswith("whole "):
            assert line == "whole 3"
            continue
        way, _, _, found, *folders = line.split(" ")
        ids = json.loads(found)
        ends[way].append(End(ids["data"], ids["replaced"], ids["restored"], "".join(folders)))
    assert len(ends["back"]) > len(("before", "after")) * 4
    assert set(ends["back"]) == {End("old", "earlier", "", "data.replaced")}
    assert set(ends["on"]) == {End("new", "old", "", "data.replaced")}


def test_what_was_live_comes_back_on_a_disk_without_any_room(image: str) -> None:
    said = run(image, FULL)
    assert json.loads(said[1])["data"] == "old"
    assert said[2:] == ["data/recovery.signal", "recovery_target_timeline = 'current'"]


def test_what_was_replaced_is_freed_by_its_id_and_only_beside_a_live_cluster(image: str) -> None:
    other, freed, refused = [json.loads(line) for line in run(image, FREE)]
    assert other["replaced"] == "earlier"
    assert freed["replaced"] == ""
    assert "no cluster is live" in refused["fault"]


def test_where_an_older_backup_cannot_help_the_newer_ones_whose_proof_failed_are_tried(image: str) -> None:
    said = json.loads(run(image, NO_ROOM)[0])
    assert said["fault"] == "nothing leads to the last moment"
    assert ["20260101-000000F" in said["objects"][0], "20260102-000000F" in said["objects"][1]] == [True, True]


def test_room_is_counted_as_it_will_be_freed(image: str) -> None:
    """What was restored and has never served stays where nothing is live, so it frees nothing there."""
    ready, refused = [json.loads(line) for line in run(image, ROOM)]
    assert ready == {"ready": True}
    assert refused["fault"] == "room"
