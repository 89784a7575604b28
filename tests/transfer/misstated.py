"""A file system that names other sizes than can be read: ``python -m tests.transfer.misstated MOUNTPOINT``.

Some network, encrypting and generating file systems do that. Files are named after what can be read and what is said:
``READABLE-SAID``, with the content of :func:`content`.
"""

from __future__ import annotations

import random
import stat
import sys
from typing import Any

from tests.libraries import need

FILES = ("5-0", "5-4096", "40000-0", "40000-3", "3000000-0", "3000000-5", "3000000-9000000")


def content(name: str) -> bytes:
    """What can be read of a file."""
    size = int(name.partition("-")[0])
    return random.Random(size).randbytes(size)


def mount(folder: str) -> None:
    """Serve the files until the folder is unmounted."""
    mfusepy = need("mfusepy")

    class Misstated(mfusepy.Operations):  # type: ignore[misc, name-defined]
        use_ns = True

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            name = path[1:]
            if not name:
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            times = {"st_mtime": 10**18, "st_ctime": 10**18}
            return {"st_mode": stat.S_IFREG | 0o644, "st_nlink": 1, "st_size": int(name.partition("-")[2])} | times

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *FILES]

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return content(path[1:])[offset : offset + size]

    mfusepy.FUSE(Misstated(), folder, foreground=True, nothreads=True, direct_io=True)


if __name__ == "__main__":
    mount(sys.argv[1])
