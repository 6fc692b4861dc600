"""The tool's settings: one frozen tree, from defaults, `.env` files and the environment. Only this reads them."""

from opentr.settings.files import Given
from opentr.settings.layers import given, read
from opentr.settings.tree import CHECKOUT, KEYS, Settings

__all__ = ["CHECKOUT", "KEYS", "Given", "Settings", "given", "read"]
