"""Searching."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from app.api.deps import CurrentUser, DatabaseSession
from app.api.errors import problems
from app.api.parameters import AdvancedSearchWanted, PageWanted, SearchWanted, page_rows
from app.services.search import Hit
from app.services.search import search as found

router = APIRouter(prefix="/api/search", tags=["search"], responses=problems(401))


@router.get("", response_model=list[Hit])
def search_files(
    response: Response, user: CurrentUser, db: DatabaseSession, search: SearchWanted, part: PageWanted
) -> Any:  # noqa: ANN401
    """The caller's files that have all words in name, title and summary, or in one segment; newest first."""
    return page_rows(response, found(db, user.id, *search, **part))


@router.get("/advanced", response_model=list[Hit])
def search_files_with_filters(
    response: Response, user: CurrentUser, db: DatabaseSession, search: AdvancedSearchWanted, part: PageWanted
) -> Any:  # noqa: ANN401
    """The same, among files of these speakers, tags, days and durations (seconds)."""
    return page_rows(response, found(db, user.id, *search, **part))
