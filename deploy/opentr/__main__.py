"""`python -m opentr`: the only place where the tool ends its process."""

import sys

INTERRUPTED = 130

try:
    from opentr.cli import interrupts

    interrupts.install()

    from opentr.cli.main import main

    code = main(sys.argv[1:])
except KeyboardInterrupt:  # also while modules are still being imported
    code = INTERRUPTED
sys.exit(code)
