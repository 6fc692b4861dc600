"""The shared database layer; its guide is README.md beside this file."""
