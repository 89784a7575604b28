"""The record of a store's replicas in the user's cache, for reading when the store itself can't be reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from sheaf.engine.replicas.object_kinds import replica_id
from sheaf.private_files import make_private_folder, write_private

__all__ = ["recall", "remember"]


def recall(cache: Path | None, url: str) -> tuple[str, ...]:
    """The URLs of the replicas; none if nothing is known."""
    try:
        return msgspec.json.decode(_file(cache, url).read_bytes(), type=tuple[str, ...]) if cache else ()
    except (OSError, msgspec.MsgspecError):
        return ()


def remember(cache: Path | None, url: str, replicas: Sequence[str]) -> None:
    """Keep them in the user's cache; a failure doesn't matter."""
    if cache is None or recall(cache, url) == tuple(replicas):
        return
    file = _file(cache, url)
    try:
        make_private_folder(file.parent)
        write_private(file, msgspec.json.encode(replicas))
    except OSError:
        return


def _file(cache: Path, url: str) -> Path:
    return cache / "replicas" / f"{replica_id(url)}.json"
