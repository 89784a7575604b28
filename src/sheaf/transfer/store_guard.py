"""The folder that a store lies in: it is never taken in, nor written to as if it were a place for data."""

from __future__ import annotations

from pathlib import Path

from sheaf.engine.core import Core
from sheaf.errors import Refused
from sheaf.transfer.local_errors import printable

__all__ = ["folder_of", "refuse_inside"]


def folder_of(core: Core) -> Path | None:
    """Where a store lies on this machine; None if it doesn't."""
    url = core.backend.url
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def refuse_inside(core: Core, folder: Path) -> None:
    """Raises Refused if a folder is the store's, or below it."""
    place, inner = folder_of(core), folder.resolve()
    if place and (inner == (outer := place.resolve()) or outer in inner.parents):
        raise Refused(f"{printable(str(folder))} is in the store itself", "choose a folder outside of it")
