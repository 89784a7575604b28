"""Real source files, from two releases that are pinned in ``requirements/bench-sources.txt``: S2."""

from __future__ import annotations

import hashlib
import re
import tarfile
from itertools import islice
from pathlib import Path

__all__ = ["ARCHIVES", "Missing", "source_files"]

_ROOT = Path(__file__).parents[2]
_PINS = _ROOT / "requirements" / "bench-sources.txt"
#: Where the Makefile downloads the archives.
ARCHIVES = _ROOT / ".tools" / "bench-sources"


class Missing(Exception):
    """An archive is not there."""


def source_files(root: Path, archives: Path, most: int, pins: Path = _PINS) -> int:
    """Unpack up to ``most`` regular files of the releases; returns how many. Raises Missing.

    The archives are those whose SHA-256 is pinned; their names don't matter.
    """
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in archives.glob("*.tar.gz")}
    count = 0
    for hash in re.findall(r"--hash=sha256:(\w+)", pins.read_text(encoding="utf-8")):
        if hash not in found:
            raise Missing(f"{archives} has no archive with the SHA-256 {hash[:8]}…")
        with tarfile.open(found[hash]) as tar:
            # Each file is written as it is read: going back in a compressed archive reads it again from its beginning.
            for member in islice(filter(tarfile.TarInfo.isfile, tar), most - count):
                tar.extract(member, root, filter="data")
                count += 1
    return count
