"""A folder mounted as it is, through pyfuse3: what any file system written in Python costs at least.

python -m bench.passthrough FOLDER MOUNTPOINT
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pyfuse3
import trio

_FOREVER_S = 1e6


class _PassThrough(pyfuse3.Operations):
    def __init__(self, root: str) -> None:
        super().__init__()
        self._paths: list[str] = ["", root]
        self._inos: dict[str, int] = {root: 1}
        self._listed: dict[int, list[str]] = {}

    def _entry(self, path: str) -> pyfuse3.EntryAttributes:
        try:
            found = os.lstat(path)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or 5) from error
        if path not in self._inos:
            self._inos[path] = len(self._paths)
            self._paths.append(path)
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.st_mode, entry.st_nlink = self._inos[path], found.st_mode, found.st_nlink
        entry.st_uid, entry.st_gid, entry.st_size = found.st_uid, found.st_gid, found.st_size
        entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns = (
            found.st_atime_ns,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
        entry.st_blocks, entry.st_blksize = found.st_blocks, 131072
        entry.entry_timeout = entry.attr_timeout = _FOREVER_S
        return entry

    async def lookup(self, parent_inode: int, name: bytes, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(f"{self._paths[parent_inode]}/{os.fsdecode(name)}")

    async def getattr(self, inode: int, ctx: Any) -> pyfuse3.EntryAttributes:
        return self._entry(self._paths[inode])

    async def forget(self, inode_list: Any) -> None:
        return None

    async def opendir(self, inode: int, ctx: Any) -> int:
        return inode

    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        folder = self._paths[fh]
        if not start_id:
            self._listed[fh] = os.listdir(folder)
        names = self._listed[fh]
        for at in range(start_id, len(names)):
            entry = self._entry(f"{folder}/{names[at]}")
            if not pyfuse3.readdir_reply(token, os.fsencode(names[at]), entry, at + 1):
                return

    async def open(self, inode: int, flags: int, ctx: Any) -> pyfuse3.FileInfo:
        return pyfuse3.FileInfo(fh=os.open(self._paths[inode], os.O_RDONLY), keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        return os.pread(fh, size, off)

    async def release(self, fh: int) -> None:
        os.close(fh)


def main(root: str, mountpoint: str) -> None:
    """Serve until it is unmounted."""
    pyfuse3.init(_PassThrough(root), mountpoint, {"fsname=passthrough", "ro", "default_permissions"})
    try:
        trio.run(pyfuse3.main)
    finally:
        pyfuse3.close(unmount=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
