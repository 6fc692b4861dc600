"""`./opentr.sh db inspect` from anywhere: .venv/bin/python scripts/db_inspect.py --help."""

from app.db import command, inspect

if __name__ == "__main__":
    command.main(inspect.parser(), inspect.act)
