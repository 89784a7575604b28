"""Values that the API returns."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from sheaf import transfer
from sheaf.engine.clock import parse_time
from sheaf.model import entries as model
from sheaf.model.records import Author, RepoEntry, RepoState

if TYPE_CHECKING:
    from sheaf.engine.manifest.comparison.diff_entries import Difference
    from sheaf.transfer.local.scan import Skipped

__all__ = [
    "Branch",
    "Change",
    "Entry",
    "Label",
    "RepoInfo",
    "StoreInfo",
    "UploadPlan",
    "branch_of",
    "change_of",
    "entry_of",
    "label_of",
    "repo_info",
]

KIND: dict[model.Kind, Literal["file", "symlink", "folder"]] = {
    model.Kind.FILE: "file",
    model.Kind.SYMLINK: "symlink",
    model.Kind.FOLDER: "folder",
    model.Kind.EXTERNAL: "file",
}


class Entry(Struct, frozen=True):
    """One path of a bundle. ``size`` in bytes; ``mtime_ns`` since 1970; ``content``: the hash printed by `b3sum`, or None.

    ``erased``: True if its bytes were erased from the store; None if that was not checked.
    """

    path: str
    kind: Literal["file", "symlink", "folder"]
    mode: int
    mtime_ns: int
    size: int
    content: str | None
    target: str | None = None
    attrs: dict[str, str] = field(default_factory=dict)
    erased: bool | None = None

    @property
    def executable(self) -> bool:
        """True if the owner may execute the file."""
        return self.kind == "file" and bool(self.mode & 0o100)

    def is_at(self, local: str | Path) -> bool:
        """True if a local path already has the content of this file or symlink; False if nothing is there."""
        return transfer.is_copy_of(Path(local), self.size, self.content, self.target)


def entry_of(entry: model.ManifestEntry) -> Entry:
    """Convert an entry for the API."""
    content = None if entry.kind == model.Kind.FOLDER else entry.content.hex()
    return Entry(
        entry.path, KIND[entry.kind], entry.mode, entry.mtime, entry.size, content, entry.target, dict(entry.attrs)
    )


class Change(Struct, frozen=True):
    """One changed path. ``old_path`` is set only for a rename."""

    kind: Literal["added", "modified", "deleted", "renamed"]
    path: str
    old_path: str | None
    old: Entry | None
    new: Entry | None


def change_of(difference: Difference) -> Change:
    """Convert a difference for the API."""
    old = entry_of(difference.old) if difference.old else None
    new = entry_of(difference.new) if difference.new else None
    old_path = old.path if difference.how == "renamed" and old else None
    return Change(difference.how, difference.path, old_path, old, new)


class Label(Struct, frozen=True):
    """A label at one moment of its history; ``bundle`` is an id, empty after a deletion.

    ``quarantined``: True if the label points to a quarantined bundle.
    """

    name: str
    bundle: str
    time: datetime
    author: Author
    quarantined: bool = False


class Branch(Struct, frozen=True):
    """A branch and the bundle that it points to. ``quarantined``: True if that bundle is quarantined."""

    name: str
    bundle: str
    time: datetime
    author: Author
    quarantined: bool = False


class RepoInfo(Struct, frozen=True):
    """Facts about a repo. ``bundles``: the number of bundles; ``deleted``: the time of its deletion, or None."""

    id: str
    name: str
    description: str
    created: datetime
    author: Author
    bundles: int
    deleted: datetime | None = None


class StoreInfo(Struct, frozen=True):
    """Facts about a store. ``objects`` and ``sizes`` (bytes) are per kind of object: packs, nodes, index and so on."""

    id: str
    url: str
    created: datetime
    chunker: dict[str, int | str]
    read_features: tuple[str, ...]
    write_features: tuple[str, ...]
    repos: int
    objects: dict[str, int]
    sizes: dict[str, int]

    @property
    def stored_bytes(self) -> int:
        """The total size of all objects, in bytes."""
        return sum(self.sizes.values())


class UploadPlan(Struct):
    """What an upload would do.

    ``parent``: the id of the bundle that the changes start from, "" for none. ``files``, ``bytes``: the number and size of
    all files of the new bundle. ``new_bytes``: size of contents that the parent does not have: the most that would be sent.
    ``clashes``: paths that collide on other file systems. ``warnings``: as for an upload.
    """

    parent: str
    changes: list[Change] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    new_bytes: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    clashes: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def label_of(name: str, state: RepoState) -> Label:
    """A label from the log."""
    at = state.labels[name]
    return Label(name, at.bundle, parse_time(at.time), at.author, at.bundle in state.aside)


def branch_of(name: str, state: RepoState) -> Branch:
    """A branch from the log."""
    at = state.branches[name]
    return Branch(name, at.bundle, parse_time(at.time), at.author, at.bundle in state.aside)


def repo_info(entry: RepoEntry, bundles: int) -> RepoInfo:
    """A repo from the store's log."""
    deleted = parse_time(entry.deleted) if entry.deleted else None
    return RepoInfo(entry.id, entry.name, entry.description, parse_time(entry.time), entry.author, bundles, deleted)
