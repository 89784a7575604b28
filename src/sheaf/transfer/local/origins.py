"""The record of the bundle that a local folder came from, in the user's cache; safe to delete."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from blake3 import blake3

from sheaf.private_files import make_private_folder, write_private

__all__ = ["Origin", "recall", "remember"]


class Origin(msgspec.Struct, frozen=True):
    """The ids of the store, repo and bundle that a folder was last made equal to."""

    store: str
    repo: str
    bundle: str


def remember(cache: Path | None, folder: Path, origin: Origin) -> None:
    """Record where a folder came from. Does nothing without a cache or on a full disk."""
    if cache is None:
        return
    path = _path(cache, folder)
    try:
        make_private_folder(path.parent)
        write_private(path, msgspec.json.encode(origin))
    except OSError:
        return


def recall(cache: Path | None, folder: Path) -> Origin | None:
    """Return the recorded origin of a folder, or None."""
    try:
        return msgspec.json.decode(_path(cache, folder).read_bytes(), type=Origin) if cache else None
    except (OSError, msgspec.MsgspecError):
        return None


def _path(cache: Path, folder: Path) -> Path:
    return cache / "folders" / blake3(os.fsencode(folder.resolve())).hexdigest()[:32]
