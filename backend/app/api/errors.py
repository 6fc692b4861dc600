"""What services and the database raise, as answers of the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import psycopg2
import structlog
from fastapi.responses import JSONResponse
from sqlalchemy import exc

from app.db.errors import BadInput
from app.services.transcripts import MediaFileMissing

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

RETRY_AFTER_SECONDS = 5
_log = structlog.stdlib.get_logger("app.errors")


def install(app: FastAPI) -> None:
    """Has the application answer so."""
    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(MediaFileMissing, _missing)
    app.add_exception_handler(exc.DBAPIError, _database_error)
    for kind in (exc.TimeoutError, psycopg2.OperationalError):
        app.add_exception_handler(kind, _unavailable)


def _bad_input(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)


def _missing(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, HTTPStatus.NOT_FOUND)


def _database_error(request: Request, error: Exception) -> JSONResponse:
    """503 for what another try may mend: no connection, a time limit, a lock, a full disk. The rest is ours: 500."""
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, exc.OperationalError):
        return _unavailable(request, error)
    raise error


def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    reason = (str(getattr(error, "orig", error)).strip().splitlines() or [type(error).__name__])[0]
    _log.warning("database unavailable", reason=reason)
    return JSONResponse(
        {"detail": "The database is not available; try again"},
        HTTPStatus.SERVICE_UNAVAILABLE,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
