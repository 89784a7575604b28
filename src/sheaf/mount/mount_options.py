"""Options of a mount, and of reading through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["MountOptions", "ReadOptions"]


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class MountOptions:
    """``source`` and ``type`` are what `mount` shows (``fuse.<type>``); ``when_up`` is called once it can be used.

    ``library``: which binding to use; without a word the one that fits the system.
    """

    source: str
    type: str = "sheaf"
    allow_other: bool = False
    when_up: Callable[[], None] = _nothing
    library: Literal["pyfuse3", "mfusepy"] | None = None

    @property
    def fsname(self) -> str:
        """``source`` as an option of FUSE, where a comma would begin the next option."""
        return self.source.replace("\\", "\\\\").replace(",", "\\,")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """``cache_bytes``: verified bytes kept in memory. ``ahead``: blocks of 1 MiB fetched ahead at most, 0 for none.

    ``disk_bytes``: kept in the user's cache folder, for all mounts of a store that is not on this machine.

    ``copy``: a folder that holds the bundle already; files are read from there.
    """

    cache_bytes: int = 128 << 20
    ahead: int = 16
    disk_bytes: int = 1 << 30
    copy: Path | None = None
