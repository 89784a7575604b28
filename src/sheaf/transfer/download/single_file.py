"""Write one file of a bundle to a local path."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Final

from sheaf.errors import NotFound, Refused
from sheaf.local_errors import printable, translated
from sheaf.transfer.download.sparse import end_sparse, write_sparse
from sheaf.transfer.progress import Meter
from sheaf.vfs import FileTree

__all__ = ["write_file"]

_BLOCK: Final = 8 << 20
_BUFFER: Final = 1 << 20


def write_file(view: FileTree, path: str, place: Path, meter: Meter, *, force: bool) -> None:
    """Write a file or symlink: it appears whole or not at all, and replaces another only with ``force``.

    Raises:
        NotFound: the path or the local folder does not exist.
        Refused: something is there already.
    """
    entry = view.stat(path)
    shown = printable(str(place))
    _check_destination(place, shown, force=force)
    meter.add_total(files=1, bytes=entry.size)
    with translated(f"write {shown}"), tempfile.TemporaryDirectory(dir=place.parent, prefix=".sheaf-") as folder:
        aside = Path(folder) / "file"
        if entry.target is not None:
            aside.symlink_to(entry.target)
        else:
            with io.BufferedReader(view.open(entry.path), _BUFFER) as stream, aside.open("wb", buffering=0) as out:
                while block := stream.read(_BLOCK):
                    write_sparse(out.fileno(), block)
                    meter.add_bytes(len(block))
                end_sparse(out.fileno())
            aside.chmod(entry.mode)
            os.utime(aside, ns=(entry.mtime, entry.mtime))
        if force:
            aside.replace(place)
        else:
            _place_new(aside, place, shown)


def _check_destination(place: Path, shown: str, *, force: bool) -> None:
    """Raise errors that are known before anything is fetched."""
    if not place.parent.is_dir():
        raise NotFound(f"{printable(str(place.parent))}: no such folder", f"create it, then write {shown}")
    if place.is_dir() and not place.is_symlink():
        raise Refused(f"{shown} is a folder", "move it away, or copy to another name")
    if os.path.lexists(place) and not force:
        raise _taken(shown)


def _place_new(aside: Path, place: Path, shown: str) -> None:
    try:
        os.link(aside, place, follow_symlinks=False)
    except FileExistsError:
        raise _taken(shown) from None
    except OSError:  # a file system without hard links
        aside.rename(place)


def _taken(shown: str) -> Refused:
    return Refused(f"{shown} already exists", "replace it with --overwrite, or copy to another name")
