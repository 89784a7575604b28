"""Encode and decode stored objects, one module per kind, with its version in its name. Normative: docs/format/v1.md.

What takes numpy, and is rarely needed to read a file, is a name of this package, imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.format.moved_v1 import decode_moved
    from sheaf.format.recipe_v1 import decode_part

_WHERE = {
    "decode_moved": "sheaf.format.moved_v1",
    "decode_part": "sheaf.format.recipe_v1",
}

__all__ = ["decode_moved", "decode_part"]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
