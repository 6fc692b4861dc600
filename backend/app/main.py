"""The API: `uvicorn app.main:app`. Importing this connects to nothing."""

from __future__ import annotations

import multiprocessing
import secrets
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app.api import errors
from app.api.bodies import SmallBodies
from app.api.endpoints import (
    admin,
    auth,
    comments,
    content,
    files,
    health,
    metrics,
    search,
    speakers,
    tags,
    tasks,
    uploads,
    users,
)
from app.api.metrics import Measured, forget_this_process, watch_pool
from app.api.parameters import NEXT_CURSOR
from app.api.requests import REQUEST_ID, KnownHosts, Requests, TrailingSlashes
from app.core import config, logging
from app.db import base
from app.db.errors import BadInput
from app.services.logins import LoginLimit
from app.services.readiness import Readiness
from app.storage.stores import media_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from app.core.config import Settings

ROUTED = (health, metrics, auth, users, admin, files, uploads, content, speakers, comments, tags, tasks, search)
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
        generate_unique_id_function=lambda route: route.name,
        responses=errors.problems(400, 422, 503),
    )
    _keep_state(app, settings)
    for module in ROUTED:
        app.include_router(module.router)
    errors.install(app)
    _add_middleware(app, settings)
    return app


def _keep_state(app: FastAPI, settings: Settings) -> None:
    """What endpoints find in `request.app.state`."""
    app.state.settings = settings
    app.state.has_signing_key = settings.JWT_SECRET is not None
    app.state.signing_key = settings.JWT_SECRET.get_secret_value() if settings.JWT_SECRET else secrets.token_hex(32)
    app.state.token_lifetime = timedelta(minutes=settings.ACCESS_TOKEN_MINUTES)
    app.state.stream_token_lifetime = timedelta(minutes=settings.STREAM_TOKEN_MINUTES)
    app.state.upload_limit = settings.UPLOAD_LIMIT
    app.state.store = media_store(settings)
    app.state.readiness = Readiness(settings, app.state.store)
    app.state.login_limit = LoginLimit(settings)


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The last one added is the outermost."""
    app.add_middleware(Measured)
    app.add_middleware(SmallBodies)
    app.add_middleware(TrailingSlashes)
    app.add_middleware(KnownHosts, allowed_hosts=settings.ALLOWED_HOSTS)
    if settings.CORS_ORIGINS:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.CORS_ORIGINS,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Range", REQUEST_ID],
            expose_headers=[NEXT_CURSOR, REQUEST_ID, "Content-Range", "Retry-After"],
        )
    app.add_middleware(Requests)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    _require_one_key(app)
    yield
    base.engine.dispose()
    forget_this_process()


def _require_one_key(app: FastAPI) -> None:
    """Raises `BadInput` where several processes would each sign with a key of their own."""
    if app.state.has_signing_key:
        return
    if multiprocessing.parent_process() is not None:  # one of uvicorn's --workers
        raise BadInput(
            "JWT_SECRET_FILE is not set, and these processes need one key to sign access tokens with",
            "let it name a file of 32 characters or more: openssl rand -hex 32 > FILE",
        )
    _log.warning("JWT_SECRET_FILE is not set: access tokens end with this process")


watch_pool(base.engine)
app = create_app()
