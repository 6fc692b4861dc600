"""`./opentr.sh db tags` from anywhere: .venv/bin/python scripts/query_tags.py --help."""

from app.db import command, tags

if __name__ == "__main__":
    command.main(tags.parser(), tags.act)
