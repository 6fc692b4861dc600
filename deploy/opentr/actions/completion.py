"""The program that a shell runs to complete the words of ./opentr.sh: click's own, for a file that isn't on PATH."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from click.shell_completion import get_completion_class

from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    import click

VARIABLE = "_OPENTR_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_NAME = "opentr.sh"


def source(root: click.Command, shell: str) -> str:
    """What is to be read by this shell: `eval "$(./opentr.sh completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the shells above are click's
    template = kind.source_template
    # zsh looks for the program among the commands on PATH first, and would give up.
    template = "\n".join(line for line in template.splitlines() if "$+commands" not in line)
    program = shlex.quote(str(CHECKOUT / _NAME))
    template = re.sub(
        r"(%\(complete_var\)s=.*) (\$1|%\(prog_name\)s)\)", rf"\1 {program.replace('%', '%%')})", template
    )
    values = kind(root, {}, _NAME, VARIABLE).source_vars()
    return template % values + "\n"
