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
    """Options of a mount. ``source`` and ``type`` are what the command `mount` shows (``fuse.<type>``).

    ``when_up``: called once the mount can be used. ``library``: the binding to use, by default the one that fits the
    system.
    """

    source: str
    type: str = "sheaf"
    allow_other: bool = False
    when_up: Callable[[], None] = _nothing
    library: Literal["pyfuse3", "mfusepy"] | None = None

    @property
    def fsname(self) -> str:
        """Return ``source`` escaped for FUSE, where a comma would begin the next option."""
        return self.source.replace("\\", "\\\\").replace(",", "\\,")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of reading through a mount. ``cache_bytes``: verified bytes kept in memory.

    ``ahead``: number of blocks of 1 MiB to fetch ahead at most, 0 for none. ``disk_bytes``: size of the disk cache in
    the user's cache folder, for all mounts of a store that is not on this machine.

    ``copy``: a folder that already contains the bundle; files are read from there.
    """

    cache_bytes: int = 128 << 20
    ahead: int = 16
    disk_bytes: int = 1 << 30
    copy: Path | None = None
