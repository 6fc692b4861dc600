"""The tool's settings: one frozen tree, read once, from the defaults and the environment. Nothing else reads either."""

from opentr.settings.read import read
from opentr.settings.tree import CHECKOUT, Settings

__all__ = ["CHECKOUT", "Settings", "read"]
