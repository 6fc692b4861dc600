"""`.env.example`: every setting with its default, commented out. `python -m opentr.settings.example` prints it."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

from opentr.settings.tree import KEYS, Settings
from opentr.settings.units import Component

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_WIDTH = 120
_HEADER = (
    "Settings of ./opentr.sh. Copy this file to .env, or a part of it to .env.dev or .env.prod, which win over .env; "
    "variables of the environment win over all files. An empty value is the default. None of these is secret: secrets "
    "are generated, into files in the folder that `./opentr.sh config path` prints. `./opentr.sh config show` prints "
    "what is in force, and why; `config check` looks for what can't work. The backend's own settings, for running it "
    "without containers, are in backend/.env.example."
)


def text() -> str:
    """The whole file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _comment(_HEADER)
    title = None
    for key, path in KEYS.items():
        component = Settings.model_fields[path[0]].annotation if len(path) > 1 else None
        if component is not title or not title:
            title = component
            yield ""
            if isinstance(component, type):
                yield from _comment(f"{path[0]}: {(component.__doc__ or '').strip()}")
        yield from _setting(key, _field(path))


def _setting(key: str, field: FieldInfo) -> Iterator[str]:
    yield from _comment(f"{field.description}")
    yield f"#{key}={_default(field)}"


def _field(path: tuple[str, ...]) -> FieldInfo:
    model: type[Component] = Settings
    for name in path[:-1]:
        inner = model.model_fields[name].annotation
        model = inner if isinstance(inner, type) and issubclass(inner, Component) else model
    return model.model_fields[path[-1]]


def _default(field: FieldInfo) -> str:
    """Empty where the default depends on the machine, the environment or other settings."""
    computed = field.default_factory is not None or field.default is None or "default:" in str(field.description)
    return "" if computed else str(field.default)


def _comment(words: str) -> list[str]:
    return textwrap.wrap(words, _WIDTH, initial_indent="# ", subsequent_indent="# ")


if __name__ == "__main__":
    sys.stdout.write(text())
