"""For load balancers and health checks: whether the process runs, and whether it can serve."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from app.services.readiness import OK, Readiness

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> dict[str, str]:
    """Answers as long as the process runs; asks nobody."""
    return {"status": "ok"}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """200 when requests can be served here, else 503 with the reasons; after two seconds at the latest."""
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.answers()
    is_ready = all(answer == OK for answer in checks.values())
    body: dict[str, Any] = {"ready": is_ready, "version": request.app.version, "checks": checks}
    return JSONResponse(body, 200 if is_ready else 503)
