"""What services and the database raise, as answers of the API, all of one model: `app.schemas.problem.Problem`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import psycopg2
import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg2.errors import ForeignKeyViolation, NumericValueOutOfRange
from sqlalchemy import exc

from app.db.errors import BadInput
from app.schemas.problem import Problem
from app.services.errors import Conflict, Missing, NotAllowed
from app.storage.errors import KeyInvalid, MediaMissing, StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

RETRY_AFTER_SECONDS = 5
_STATUSES = {
    BadInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    Missing: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    NotAllowed: HTTPStatus.FORBIDDEN,
}
_log = structlog.stdlib.get_logger("app.errors")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What an endpoint declares that it may answer beside its success."""
    return {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}


def install(app: FastAPI) -> None:
    """Has the application answer so."""
    for kind in _STATUSES:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreUnavailable, _store_unavailable)
    for missing in (MediaMissing, KeyInvalid):
        app.add_exception_handler(missing, _bytes_missing)
    app.add_exception_handler(exc.DBAPIError, _database_error)
    for away in (exc.TimeoutError, psycopg2.OperationalError):
        app.add_exception_handler(away, _unavailable)


def _refused(_request: Request, error: Exception) -> JSONResponse:
    status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
    return JSONResponse({"detail": str(error)}, status)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """What is wrong, without the values: one may be a password, and another nothing that JSON can say (NaN)."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is installed for that
    wrong = [{"type": each["type"], "loc": each["loc"], "msg": each["msg"]} for each in error.errors()]
    return JSONResponse({"detail": wrong}, HTTPStatus.UNPROCESSABLE_ENTITY)


def _database_error(request: Request, error: Exception) -> JSONResponse:
    """503 for what another try may mend: no connection, a time limit, a lock, a full disk. The rest is ours: 500."""
    lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, exc.OperationalError):
        return _unavailable(request, error)
    orig = getattr(error, "orig", None)
    if isinstance(orig, ForeignKeyViolation):  # what we had just seen is gone already
        return JSONResponse({"detail": "What this belongs to was deleted a moment ago"}, HTTPStatus.CONFLICT)
    if isinstance(orig, NumericValueOutOfRange):  # a column holds 1e308, and no sum of two of those
        return JSONResponse({"detail": "A number is too large to be counted with"}, HTTPStatus.UNPROCESSABLE_ENTITY)
    raise error


def _store_unavailable(_request: Request, error: Exception) -> JSONResponse:
    _log.warning("media store unavailable", reason=str(error))
    if isinstance(error, StoreFull):
        return JSONResponse({"detail": "The media store is full"}, HTTPStatus.INSUFFICIENT_STORAGE)
    return _try_again("The media store is not available; try again")


def _bytes_missing(_request: Request, error: Exception) -> JSONResponse:
    _log.error("a recording's bytes are missing", reason=str(error))
    return JSONResponse({"detail": "The recording's bytes are not in the media store"}, HTTPStatus.NOT_FOUND)


def _unavailable(_request: Request, error: Exception) -> JSONResponse:
    reason = (str(getattr(error, "orig", error)).strip().splitlines() or [type(error).__name__])[0]
    _log.warning("database unavailable", reason=reason)
    return _try_again("The database is not available; try again")


def _try_again(detail: str) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse({"detail": detail}, HTTPStatus.SERVICE_UNAVAILABLE, headers)
