"""Folders that have one of each thing, and what is in a folder as a value."""

from __future__ import annotations

import os
import random
from pathlib import Path

__all__ = ["BIG", "make_tree", "read_tree"]

BIG = random.Random(5).randbytes(5_000_000) + b"\0" * 3_000_000


def make_tree(folder: Path) -> Path:
    """Small and big files, deep folders, modes, times, symlinks, an empty folder, odd names."""
    (folder / "deep/er/est").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "many").mkdir()
    for number in range(120):
        (folder / "many" / f"{number:04}.bin").write_bytes(random.Random(number).randbytes(number * 37))
    (folder / "big.bin").write_bytes(BIG)
    (folder / "deep/er/est/file.txt").write_text("tief\n")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "secret").write_text("s")
    (folder / "secret").chmod(0o600)
    (folder / "link").symlink_to("deep/er/est/file.txt")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "odd\nname ünï").write_text("x")
    os.utime(folder / "secret", ns=(10**18, 10**18 + 7))
    os.utime(folder / "empty", ns=(10**18, 10**18 + 9))
    return folder


def read_tree(folder: Path) -> dict[str, tuple[object, ...]]:
    """Path to kind, mode, mtime and content of all that is below."""
    found: dict[str, tuple[object, ...]] = {}
    for base, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            place = Path(base, name)
            status = place.lstat()
            mode, mtime = status.st_mode, status.st_mtime_ns
            if place.is_symlink():
                content: object = os.readlink(place)
            else:
                content = place.read_bytes() if place.is_file() else None
            found[place.relative_to(folder).as_posix()] = (
                mode,
                mtime,
                status.st_size if place.is_file() else 0,
                content,
            )
    return found
