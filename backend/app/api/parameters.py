"""The parameters that several endpoints take, each with the values that it can have: any other is answered with 422."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypedDict

from fastapi import Depends, Path, Query, Response
from pydantic import BeforeValidator, FiniteFloat

from app.db.errors import BadInput
from app.db.paging import MAX_LIMIT, Page
from app.models import FileStatus
from app.schemas.types import Int8, Text, Timestamp, VarChar10
from app.services.filters import FileFilter, FileType

NEXT_CURSOR = "X-Next-Cursor"
_MOST_VALUES = 20
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
IdInQuery = Annotated[int, Query(ge=1, le=2**31 - 1)]


class Paging(TypedDict):
    """Which part of a listing is asked for."""

    limit: int | None
    cursor: str | None


def _paging(
    limit: Annotated[
        int | None, Query(ge=1, le=MAX_LIMIT, description="rows at most; all of them, if it is left out")
    ] = None,
    cursor: Annotated[str | None, Query(description=f"the {NEXT_CURSOR} of the answer before")] = None,
) -> Paging:
    return Paging(limit=limit, cursor=cursor)


PageWanted = Annotated[Paging, Depends(_paging)]


def page_rows(response: Response, page: Page[Any]) -> Any:  # noqa: ANN401 - the endpoint's response model says it
    """The page's rows as a plain array; where to go on is in a header."""
    if page.next_cursor is not None:
        response.headers[NEXT_CURSOR] = page.next_cursor
    return page.rows


def _whole_day(value: object) -> object:
    return f"{value}T23:59:59.999999" if isinstance(value, str) and _DAY.fullmatch(value) else value


def _several(alias: str | None = None) -> Any:  # noqa: ANN401 - FastAPI's own
    return Query(default_factory=list, max_length=_MOST_VALUES, alias=alias)


EndTime = Annotated[Timestamp, BeforeValidator(_whole_day, json_schema_input_type=datetime)]
"""The last instant that counts; a day without a time counts until its end."""

Names = Annotated[list[Text], _several()]
Seconds = Annotated[FiniteFloat, Query(description="seconds")]
Bytes = Annotated[Int8, Query(description="bytes")]


def _files_wanted(  # noqa: PLR0913 - each is a parameter of the listing
    search: Annotated[Text | None, Query(description="a part of the name, title or summary")] = None,
    *,
    tag: Names,
    speaker: Names,
    from_date: Timestamp | None = None,
    to_date: EndTime | None = None,
    min_duration: Seconds | None = None,
    max_duration: Seconds | None = None,
    min_file_size: Bytes | None = None,
    max_file_size: Bytes | None = None,
    file_type: Annotated[list[FileType], _several()],
    status: Annotated[list[FileStatus], _several()],
) -> FileFilter:
    return FileFilter(
        search=search,
        tags=tuple(tag),
        speakers=tuple(speaker),
        uploaded_from=from_date,
        uploaded_to=to_date,
        min_duration=min_duration,
        max_duration=max_duration,
        min_file_size=min_file_size,
        max_file_size=max_file_size,
        file_types=tuple(file_type),
        statuses=tuple(status),
    )


FilesWanted = Annotated[FileFilter, Depends(_files_wanted)]


def _words(
    q: Annotated[str | None, Query(description="words, `a phrase` in double quotes, `or`, `-without`")] = None,
    query: Annotated[str | None, Query(description="another name of q")] = None,
) -> str:
    words = q if q is not None else query
    if words is None:
        raise BadInput("a search needs words", "give them as q")
    return words


class Search(NamedTuple):
    """What is searched for, and among which files."""

    words: str
    wanted: FileFilter


def _search(
    words: Annotated[str, Depends(_words)],
    *,
    speaker: Names,
    tag: Names,
    language: Annotated[list[VarChar10], _several()],
) -> Search:
    return Search(words, FileFilter(speakers=tuple(speaker), tags=tuple(tag), languages=tuple(language)))


SearchWanted = Annotated[Search, Depends(_search)]


def _advanced_search(  # noqa: PLR0913 - each is a parameter of the search
    search: SearchWanted,
    *,
    speakers: Names,
    speakers_listed: Annotated[list[Text], _several("speakers[]")],
    tags: Names,
    tags_listed: Annotated[list[Text], _several("tags[]")],
    start_date: Timestamp | None = None,
    end_date: EndTime | None = None,
    min_duration: Seconds | None = None,
    max_duration: Seconds | None = None,
) -> Search:
    wanted = replace(
        search.wanted,
        speakers=(*search.wanted.speakers, *speakers, *speakers_listed),
        tags=(*search.wanted.tags, *tags, *tags_listed),
        uploaded_from=start_date,
        uploaded_to=end_date,
        min_duration=min_duration,
        max_duration=max_duration,
    )
    return Search(search.words, wanted)


AdvancedSearchWanted = Annotated[Search, Depends(_advanced_search)]
