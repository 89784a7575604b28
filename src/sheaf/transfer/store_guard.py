"""The local folder of a store, which is never uploaded and never a destination."""

from __future__ import annotations

from pathlib import Path

from sheaf.engine.core import Core
from sheaf.errors import Refused
from sheaf.local_errors import printable

__all__ = ["ensure_outside_store", "folder_of"]


def folder_of(core: Core) -> Path | None:
    """Return the local folder of a store, or None."""
    url = core.backend.url
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def ensure_outside_store(core: Core, folder: Path) -> None:
    """Raise Refused if a folder is inside the store."""
    place, inner = folder_of(core), folder.resolve()
    if place and (inner == (outer := place.resolve()) or outer in inner.parents):
        raise Refused(f"{printable(str(folder))} is inside the store", "choose a folder outside the store")
