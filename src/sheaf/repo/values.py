"""Small values that the API hands out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sheaf.engine.clock import parse_time
from sheaf.model import entries as model
from sheaf.model.records import Author, RepoEntry, RepoState

if TYPE_CHECKING:
    from sheaf.engine.manifest.diff_entries import Difference

__all__ = [
    "Branch",
    "Change",
    "Entry",
    "Label",
    "RepoInfo",
    "StoreInfo",
    "Verified",
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


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a bundle. ``size`` in bytes, ``mtime_ns`` since 1970; ``content`` as `b3sum` prints it (not of folders).

    ``erased``: whether its bytes were removed from the store for good; None where that was not looked up.
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
        """Whether its owner may execute the file."""
        return self.kind == "file" and bool(self.mode & 0o100)


def entry_of(entry: model.Entry) -> Entry:
    """The entry as the API shows it."""
    content = None if entry.kind == model.Kind.FOLDER else entry.content.hex()
    return Entry(
        entry.path, KIND[entry.kind], entry.mode, entry.mtime, entry.size, content, entry.target, dict(entry.attrs)
    )


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs. ``old_path`` is set for a rename only."""

    kind: Literal["added", "modified", "deleted", "renamed"]
    path: str
    old_path: str | None
    old: Entry | None
    new: Entry | None


def change_of(difference: Difference) -> Change:
    """A difference as the API has it."""
    old = entry_of(difference.old) if difference.old else None
    new = entry_of(difference.new) if difference.new else None
    old_path = old.path if difference.how == "renamed" and old else None
    return Change(difference.how, difference.path, old_path, old, new)


@dataclass(frozen=True, slots=True)
class Label:
    """A label at one moment of its history; ``bundle`` is an id, empty once it was deleted.

    ``set_aside``: the label is there now, and it is known that the bundle can't be read.
    """

    name: str
    bundle: str
    time: datetime
    author: Author
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch and the bundle that it is at. ``set_aside``: it is known that this one can't be read."""

    name: str
    bundle: str
    time: datetime
    author: Author
    set_aside: bool = False


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """A repo; ``bundles``: how many it has; ``deleted``: when, None while it lives."""

    id: str
    name: str
    description: str
    created: datetime
    author: Author
    bundles: int
    deleted: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """A store. ``objects`` and ``sizes`` (bytes) are per kind of object: packs, nodes, index and so on."""

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
        """Bytes of all objects together."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification has read and found sound.

    ``erased``: the paths of files that are not there any more, on purpose; ``damaged``: how many files can't be read.
    ``files`` counts neither.
    """

    files: int
    bytes: int
    erased: tuple[str, ...] = ()
    damaged: int = 0


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
