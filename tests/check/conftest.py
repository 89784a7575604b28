"""The same store that is repaired elsewhere."""

from tests.repair.conftest import made, world

__all__ = ["made", "world"]
