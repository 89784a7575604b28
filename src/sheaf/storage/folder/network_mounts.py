"""The system's mounts: what is mounted, and whether a path is on a network file system, whose listings may be late."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mounted", "filesystem_type", "is_local", "is_network", "mounted_on"]

_NETWORK = frozenset(
    {"9p", "afs", "afpfs", "beegfs", "ceph", "cephfs", "cifs", "coda", "davfs", "efs", "glusterfs", "gpfs", "lustre"}
    | {"ncpfs", "nfs", "nfs4", "orangefs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "webdav"}
    | {"fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
_LOCAL = frozenset(
    {"apfs", "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fuseblk", "hfs", "jfs", "msdos", "overlay"}
    | {"ramfs", "reiserfs", "tmpfs", "ufs", "vfat", "xfs", "zfs"}
)
_MAC_LINE = re.compile(r"(?P<source>.*) on (?P<point>/.*) \((?P<type>[a-z0-9_]+)(?P<rest>[,)].*)")


class Mounted(NamedTuple):
    """A row of the system's table of mounts: mount point, type, source, and whether it can be written to."""

    point: Path
    kind: str
    source: str = ""
    is_writable: bool = True


def is_network(kind: str) -> bool:
    """True if a file system of this type is served by another machine."""
    return kind in _NETWORK


def is_local(kind: str) -> bool:
    """True if a file system of this type is used only through this machine's kernel, so that all users see its locks."""
    return kind in _LOCAL


def filesystem_type(path: Path) -> str:
    """The type of the file system that contains ``path`` (which need not exist), "" if unknown."""
    target = path.absolute()
    while not target.exists() and target != target.parent:
        target = target.parent
    target = target.resolve()
    best = Path("/"), ""
    for point, kind, *_ in _mounts():
        if target.is_relative_to(point) and len(point.parts) >= len(best[0].parts):
            best = point, kind
    return best[1]


def mounted_on(folder: Path) -> Mounted | None:
    """What is mounted exactly on a folder, or None. Reads only the system's table, so that a hanging mount can't block it."""
    point = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would look into the mount
    point = point.parent.resolve() / point.name
    found = [each for each in _mounts() if each.point == point]
    return found[-1] if found else None


# psutil.disk_partitions(all=True) gives the same rows, but every command on a store in a folder asks for them, and
# importing psutil takes longer (12 ms) than most of these commands wait for the store.
def _mounts() -> list[Mounted]:
    if sys.platform == "darwin":
        import subprocess  # macOS has no list of mounts in a file

        output = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
        return parse_mount_output(output)
    try:
        return parse_proc_mounts(Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape"))
    except OSError:
        return []


def parse_proc_mounts(text: str) -> list[Mounted]:
    """Parse Linux's table of mounts, in which blanks in names are written as octal numbers."""
    rows = [line.split(" ") for line in text.split("\n")]
    return [
        Mounted(Path(_unescaped(row[1])), row[2], _unescaped(row[0]), "ro" not in "".join(row[3:4]).split(","))
        for row in rows
        if len(row) > 2
    ]


def _unescaped(name: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)


def parse_mount_output(text: str) -> list[Mounted]:
    """Parse what ``mount`` prints on macOS."""
    found = (_MAC_LINE.fullmatch(line) or _MAC_LINE.match(line) for line in text.split("\n"))
    return [
        Mounted(Path(match["point"]), match["type"], match["source"], "read-only" not in match["rest"])
        for match in found
        if match
    ]
