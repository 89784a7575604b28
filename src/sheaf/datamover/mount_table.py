"""File systems below a folder, and the kind of the one that holds it, as Linux lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["MountTable"]

_TABLE: Final = Path("/proc/self/mountinfo")
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
#: File systems that only this machine changes. Any other may be changed without this machine being informed.
_LOCAL: Final = frozenset(
    {
        "ext2",
        "ext3",
        "ext4",
        "xfs",
        "btrfs",
        "bcachefs",
        "f2fs",
        "jfs",
        "zfs",
        "tmpfs",
        "ramfs",
        "overlay",
        "vfat",
        "exfat",
        "ntfs3",
    }
)


@dataclass(frozen=True, slots=True)
class MountTable:
    """Mount points by path, as bytes, with their file system; the last mount at a point counts."""

    points: dict[bytes, str]

    @classmethod
    def read(cls, table: Path = _TABLE) -> MountTable:
        """Read the table of this process; empty where there is none."""
        try:
            lines = table.read_bytes().splitlines()
        except OSError:
            return cls({})
        points = {}
        for line in lines:
            before, _, after = line.partition(b" - ")
            fields = before.split(b" ")
            if len(fields) > 4 and after:
                point = _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4])
                points[point] = after.split(b" ")[0].decode("ascii", "replace")
        return cls(points)

    def is_shared(self, folder: bytes) -> bool:
        """True if other machines may change the files of a folder (an absolute path without symlinks)."""
        above = [point for point in self.points if _is_below(folder, point)]
        kind = self.points[max(above, key=len)] if above else ""
        return bool(above) and kind not in _LOCAL

    def below(self, folder: bytes) -> tuple[bytes, ...]:
        """The mount points below a folder, relative to it."""
        start = folder.rstrip(b"/") + b"/"
        return tuple(point.removeprefix(start) for point in self.points if point.startswith(start) and point != start)


def _is_below(path: bytes, point: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")
