"""Read many whole files together. It requires pyarrow and numpy, so its names are imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sheaf.lazy import lazy_names

if TYPE_CHECKING:
    from sheaf.engine.chunks.bulk.gather import Gathering
    from sheaf.engine.chunks.bulk.whole_files import read_files, read_gathered

_WHERE = {
    "Gathering": "sheaf.engine.chunks.bulk.gather",
    "read_files": "sheaf.engine.chunks.bulk.whole_files",
    "read_gathered": "sheaf.engine.chunks.bulk.whole_files",
}

__all__ = ["Gathering", "read_files", "read_gathered"]

if not TYPE_CHECKING:  # else type checkers would believe in any name
    __getattr__ = lazy_names(__name__, _WHERE)
