"""Unpack the tar file of a data directory, which Datamon's first generation uploads, in a process of its own."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import Final

from sheaf.errors import InvalidInput

__all__ = ["UNPACK", "main", "unpack"]

#: For ``python -c``, with the archive and the new folder: it has gigabytes, and a sidecar may not block.
UNPACK: Final = "from sheaf.sidecar.postgres.archive import main; main()"
_HINT: Final = "name a bundle that contains a data directory"


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar file, compressed or not, into a new folder. Raises InvalidInput.

    It may contain only files and folders: a link could lead out of the folder.
    """
    target.mkdir()
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                _extract(tar, member, target)
    except (tarfile.TarError, EOFError, FileExistsError) as error:
        raise InvalidInput(f"{archive.name}: it can't be unpacked: {error}", _HINT) from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InvalidInput(f"tar file: '{member.name}' is outside of its folder", _HINT)
    if member.isdir():
        (target / path).mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise InvalidInput(f"tar file: '{member.name}' is neither a file nor a folder", _HINT)
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    with source, (target / path).open("xb") as new:
        shutil.copyfileobj(source, new)


def main() -> None:
    """Unpack what the arguments name. Exits with 1 after a line that says why it can't."""
    archive, target = map(Path, sys.argv[1:])
    try:
        unpack(archive, target)
    except (InvalidInput, OSError) as error:
        sys.exit(f"error: {error}")
