"""The tables as Pydantic schemas: what the API reads and writes. A schema's JSON keys are the columns' names."""

from __future__ import annotations

from collections.abc import Mapping

UNREAD_TABLES: Mapping[str, str] = {
    "file_tag": "shown as the tags of a file",
    "schema_release": "read by migrations and by the readiness check alone",
}
"""The tables that no read schema shows, each with its reason."""
