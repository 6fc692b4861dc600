from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from fastapi.testclient import TestClient

from app.main import create_app
from app.models import Task, TaskStatus
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.orm import Session

    from app.core.config import Settings
    from tests.api.conftest import Person


def figure(text: str, name: str, **labels: str) -> float:
    """The sum of all figures of this name that have these labels."""
    lines = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(float(value) for given, value in lines if wanted <= set(given.split(",")))


def test_requests_are_counted_by_their_route_and_not_by_their_path(ann: Person) -> None:
    def seen(**labels: str) -> float:
        return figure(ann.api.get("/metrics").text, "opentr_request_seconds_count", **labels)

    before = seen(route="/api/files/{file_id}", status="404"), seen(route="none"), seen(method="other")
    for number in range(5):
        ann.api.get(f"/api/files/{number + 1}/")
        ann.api.get(f"/nowhere/{number}")
        ann.api.request(f"ODD{number}", "/api/files")
    after = seen(route="/api/files/{file_id}", status="404"), seen(route="none"), seen(method="other")
    assert [new - old for old, new in zip(before, after, strict=True)] == [5, 5, 5]
    assert "nowhere" not in ann.api.get("/metrics").text


def test_tasks_are_counted_by_status(ann: Person, rows: Session) -> None:
    statuses = [TaskStatus.PENDING, TaskStatus.PENDING, TaskStatus.FAILED]
    rows.add_all(
        Task(id=str(number), user_id=ann.id, task_type="transcription", status=status)
        for number, status in enumerate(statuses)
    )
    rows.commit()
    text = ann.api.get("/metrics").text
    assert {status: figure(text, "opentr_tasks", status=status) for status in TaskStatus} == {
        "pending": 2,
        "in_progress": 0,
        "completed": 0,
        "failed": 1,
    }


def test_without_a_database_the_other_figures_are_still_told(settings_with: Callable[..., Settings]) -> None:
    client = TestClient(create_app(settings_with(DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/d")))
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "opentr_tasks" not in answer.text
    assert "opentr_request_seconds" in answer.text


def test_several_processes_add_theirs_up(settings_with: Callable[..., Settings], tmp_path: Path) -> None:
    settings = settings_with()
    environment = {
        "DATABASE_URL": settings.DATABASE_URL,
        "REDIS_URL": settings.REDIS_URL,
        "JWT_SECRET_FILE": str(tmp_path / "key"),
        "MEDIA_ROOT": str(settings.MEDIA_ROOT),
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    with serving(tmp_path, 2, **environment) as api:
        api.until_ready()
        address = f"http://127.0.0.1:{api.port}"
        asked = 0
        while len({file.name for file in (tmp_path / "metrics").glob("histogram_*.db")}) < 2:
            urllib.request.urlopen(f"{address}/health").close()  # noqa: S310 - our own
            asked += 1
        for _ in range(20):
            urllib.request.urlopen(f"{address}/ready").close()  # noqa: S310
        with urllib.request.urlopen(f"{address}/metrics") as answer:  # noqa: S310
            text = answer.read().decode()
    assert figure(text, "opentr_request_seconds_count", route="/ready") >= 20
    assert figure(text, "opentr_request_seconds_count", route="/health") == asked
    assert figure(text, "opentr_database_connections_in_use") == 0


def test_the_api_needs_no_engine_to_start() -> None:
    """Its image has neither PyAV nor CTranslate2, nor numpy, nor lists of stop words."""
    program = "import sys, app.main; print([name for name in sys.modules if name in sys.argv])"
    names = ["av", "ctranslate2", "faster_whisper", "numpy", "stop_words"]
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
