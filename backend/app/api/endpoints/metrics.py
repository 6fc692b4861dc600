"""For Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from app.api.metrics import exposition

router = APIRouter(tags=["health"])


@router.get("/metrics", include_in_schema=False)
def metrics(request: Request) -> Response:
    """Figures about requests, tasks and the database's pool. The proxy doesn't let anybody outside ask."""
    return Response(exposition(request.app.state.settings), media_type=CONTENT_TYPE_LATEST)
