"""What every answer says that isn't a success."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FieldProblem(BaseModel):
    """What is wrong with one part of a request; never the value itself, which may be a password."""

    type: str
    loc: list[str | int]
    msg: str


class Problem(BaseModel):
    """The one model of errors: a sentence, or what is wrong with each part of the request."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "there is no file 17"}]})

    detail: str | list[FieldProblem]
