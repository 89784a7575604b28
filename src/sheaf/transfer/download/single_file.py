"""Write one file of a bundle to a local path."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Final

from sheaf.errors import NotFound, Refused
from sheaf.local_errors import printable, translated
from sheaf.transfer.download.files.sparse import end_sparse, write_sparse
from sheaf.transfer.progress import Meter
from sheaf.vfs import FileTree

__all__ = ["write_file"]

_BLOCK: Final = 8 << 20
_BUFFER: Final = 1 << 20


def write_file(view: FileTree, path: str, destination: Path, meter: Meter, *, force: bool) -> None:
    """Write a file or symlink: it appears whole or not at all, and replaces another only with ``force``.

    Raises:
        NotFound: the path or the local folder does not exist.
        Refused: something is there already.
    """
    entry = view.stat(path)
    shown = printable(str(destination))
    _check_destination(destination, shown, force=force)
    meter.add_total(files=1, size=entry.size)
    with translated(f"write {shown}"), tempfile.TemporaryDirectory(dir=destination.parent, prefix=".sheaf-") as folder:
        temporary = Path(folder) / "file"
        if entry.target is not None:
            temporary.symlink_to(entry.target)
        else:
            with io.BufferedReader(view.open(entry.path), _BUFFER) as stream, temporary.open("wb", buffering=0) as out:
                while block := stream.read(_BLOCK):
                    write_sparse(out.fileno(), block)
                    meter.add_bytes(len(block))
                end_sparse(out.fileno())
            temporary.chmod(entry.mode)
            os.utime(temporary, ns=(entry.mtime, entry.mtime))
        if force:
            temporary.replace(destination)
        else:
            _place_new(temporary, destination, shown)


def _check_destination(destination: Path, shown: str, *, force: bool) -> None:
    """Raise errors that are known before anything is fetched."""
    if not destination.parent.is_dir():
        raise NotFound(f"{printable(str(destination.parent))}: no such folder", f"create it, then write {shown}")
    if destination.is_dir() and not destination.is_symlink():
        raise Refused(f"{shown} is a folder", "move it away, or copy to another name")
    if os.path.lexists(destination) and not force:
        raise _taken(shown)


def _place_new(temporary: Path, destination: Path, shown: str) -> None:
    try:
        os.link(temporary, destination, follow_symlinks=False)
    except FileExistsError:
        raise _taken(shown) from None
    except OSError:  # a file system without hard links
        temporary.rename(destination)


def _taken(shown: str) -> Refused:
    return Refused(f"{shown} already exists", "replace it with --overwrite, or copy to another name")
