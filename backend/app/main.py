"""The API: `uvicorn app.main:app`. Importing this connects to nothing."""

from __future__ import annotations

import multiprocessing
import secrets
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI

from app.api import errors
from app.api.endpoints import auth, files, health
from app.api.requests import Requests, TrailingSlashes
from app.core import config, logging
from app.db import base
from app.db.errors import BadInput
from app.services.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.config import Settings

_log = structlog.stdlib.get_logger("app.main")


def create_app(settings: Settings = config.settings) -> FastAPI:
    """A new application with these settings; the database session comes from `app.db.base.get_db`."""
    logging.configure(settings.LOG_LEVEL, settings.LOG_FORMAT)
    app = FastAPI(
        title="OpenTranscribe",
        version=settings.VERSION,
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url="/api/docs",
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.has_signing_key = settings.JWT_SECRET is not None
    app.state.signing_key = settings.JWT_SECRET.get_secret_value() if settings.JWT_SECRET else secrets.token_hex(32)
    app.state.token_lifetime = timedelta(minutes=settings.ACCESS_TOKEN_MINUTES)
    app.state.readiness = Readiness(settings)
    for module in (health, auth, files):
        app.include_router(module.router)
    errors.install(app)
    app.add_middleware(TrailingSlashes)
    app.add_middleware(Requests)  # the last one added is the outermost
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    _require_one_key(app)
    yield
    base.engine.dispose()


def _require_one_key(app: FastAPI) -> None:
    """Raises `BadInput` where several processes would each sign with a key of their own."""
    if app.state.has_signing_key:
        return
    if multiprocessing.parent_process() is not None:  # one of uvicorn's --workers, or its --reload
        raise BadInput(
            "JWT_SECRET_FILE is not set, and these processes need one key to sign access tokens with",
            "let it name a file of 32 characters or more: openssl rand -hex 32 > FILE",
        )
    _log.warning("JWT_SECRET_FILE is not set: access tokens end with this process")


app = create_app()
