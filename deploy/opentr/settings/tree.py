"""What can be set, with its default."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

CHECKOUT = Path(__file__).resolve().parents[3]


class Settings(BaseModel):
    """The root of the tree. The environment names a field OPENTR_ and the field's name, in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state_dir: Path = Field(default=CHECKOUT / ".opentr", description="folder of logs, secrets and the journal")

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, place: Path) -> Path:
        """The same folder from wherever the tool is called."""
        if not place.is_absolute():
            raise ValueError(f"{place} is not an absolute path")
        return place
