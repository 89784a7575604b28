"""Spills of writable mounts on this machine: folders with uncommitted changes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sheaf.errors import InvalidInput
from sheaf.settings.settings import Environment, read_environment

__all__ = ["spills_folder", "spills_of", "user_spills"]


class _About(msgspec.Struct):
    """What the first line of a journal says that counts here."""

    store: str


def spills_folder(environment: Environment) -> Path:
    """Return the default folder for spills of mounts. Raises InvalidInput."""
    return environment.folder("XDG_DATA_HOME", ".local/share") / "sheaf" / "mounts"


def user_spills(store: str) -> tuple[str, ...]:
    """Return this user's spills that may contain data of a store (by its id)."""
    try:
        return tuple(map(str, spills_of(spills_folder(read_environment()), store)))
    except InvalidInput:  # there is no home folder
        return ()


def spills_of(folder: Path, store: str) -> list[Path]:
    """Return the spills below a folder that contain data of a store (by its id), of running and of ended mounts."""
    return [spill for spill in _spills(folder) if _store_of(spill) == store and any((spill / "files").iterdir())]


def _spills(folder: Path) -> list[Path]:
    try:
        return sorted(spill for spill in folder.iterdir() if (spill / "files").is_dir())
    except OSError:
        return []


def _store_of(spill: Path) -> str:
    try:
        with (spill / "journal").open("rb") as journal:
            return msgspec.json.decode(journal.readline(), type=_About).store
    except (OSError, msgspec.MsgspecError):
        return ""
