"""List the keys of a folder store by walking its folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

from sheaf.storage.key_rules import ASIDE, is_segment

__all__ = ["walk"]

_FOREIGN = (".nfs", ".DS_Store")  # what NFS clients and the Finder leave in folders


def walk(root: str, prefix: str, *, sort: bool) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the keys that start with ``prefix`` with their entries; in ascending bytewise order of keys if ``sort``."""
    folder, _, start = prefix.rpartition("/")
    base = f"{folder}/" if folder else ""
    for name, entry in _entries(f"{root}/{base}", start, sort=sort):
        if f"{base}{name}/".startswith(f"{ASIDE}/"):
            continue
        if entry.is_file(follow_symlinks=False):
            yield base + name, entry
        elif entry.is_dir(follow_symlinks=False):
            yield from walk(root, f"{base}{name}/", sort=sort)


def _entries(path: str, start: str, *, sort: bool) -> list[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(path) as scan:
            found = [(e.name, e) for e in scan if e.name.startswith(start) and is_segment(e.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    # The keys in a folder continue with "/", so it must sort as if its name ended with it.
    if sort:
        found.sort(key=lambda pair: f"{pair[0]}/" if pair[1].is_dir(follow_symlinks=False) else pair[0])
    return [pair for pair in found if not pair[0].startswith(_FOREIGN)]
