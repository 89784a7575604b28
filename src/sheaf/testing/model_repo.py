"""A model of a store as plain dictionaries, with which tests compare Sheaf, operation by operation.

It raises the same categories of errors as the real store. Ids of repos and bundles come from the real store.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sheaf.errors import AlreadyExists, Conflict, NotFound
from sheaf.model.paths import ancestors
from sheaf.repo.bundle import Bundle

__all__ = [
    "ModelBundle",
    "ModelEntry",
    "ModelRepo",
    "ModelStore",
    "Tree",
    "assert_diff",
    "tree_of",
    "with_folders",
    "write_folder",
]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What a version depends on, for one path. ``content``: a file's bytes, or a symlink's target."""

    kind: Literal["file", "symlink", "folder"] = "file"
    content: bytes = b""
    executable: bool = False


Tree = Mapping[str, ModelEntry]
FOLDER = ModelEntry("folder")


def with_folders(tree: Tree) -> dict[str, ModelEntry]:
    """Return the tree with a row for every folder."""
    return {**{folder: FOLDER for path in tree for folder in ancestors(path)}, **tree}


def tree_of(bundle: Bundle) -> dict[str, ModelEntry]:
    """Read all entries of a bundle through the API."""
    found: dict[str, ModelEntry] = {}
    for entry in bundle.ls(recursive=True):
        content = bundle.read(entry.path) if entry.kind == "file" else (entry.target or "").encode()
        found[entry.path] = ModelEntry(entry.kind, content, entry.executable)
    return found


def write_folder(root: Path, tree: Tree) -> Path:
    """Write a tree to a local folder, which is created if needed; return the folder."""
    root.mkdir(parents=True, exist_ok=True)
    for path, entry in with_folders(tree).items():
        target = os.path.join(root, path)  # noqa: PTH118 - a Path would change some names
        if entry.kind == "folder":
            os.makedirs(target, exist_ok=True)  # noqa: PTH103
        elif entry.kind == "symlink":
            os.symlink(entry.content.decode(), target)  # noqa: PTH211
        else:
            with open(target, "wb") as file:
                file.write(entry.content)
            os.chmod(target, 0o755 if entry.executable else 0o644)  # noqa: PTH101
    return root


# -- the model ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ModelBundle:
    """A bundle; ``tree`` has a row for every folder."""

    id: str
    tree: dict[str, ModelEntry]
    message: str
    parents: tuple[str, ...]


@dataclass(slots=True)
class ModelRepo:
    """A repo. ``moves``: all moves (bundle id) and deletions ("") of labels, oldest first."""

    id: str
    name: str
    bundles: dict[str, ModelBundle] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    moves: list[tuple[str, str]] = field(default_factory=list)

    def add(
        self, id: str, tree: Tree, message: str, branch: str | None, label: str | None = None, base: str | None = None
    ) -> ModelBundle:
        """Commit a bundle. Its parents are the head of its branch, then the bundle it was made from."""
        parents = dict.fromkeys(one for one in (self.branches.get(branch or ""), base) if one)
        bundle = ModelBundle(id, with_folders(tree), message, tuple(parents))
        self.bundles[id] = bundle
        if branch:
            self.branches[branch] = id
        if label:
            self.set_label(label, id)
        return bundle

    def set_label(self, name: str, bundle: str) -> None:
        """Point a label to a bundle."""
        self._there(bundle)
        self.labels[name] = bundle
        self.moves.append((name, bundle))

    def delete_label(self, name: str) -> None:
        """Delete a label. Raises NotFound."""
        if name not in self.labels:
            raise NotFound(name)
        del self.labels[name]
        self.moves.append((name, ""))

    def create_branch(self, name: str, bundle: str) -> None:
        """Create a branch. Raises AlreadyExists; NotFound if there is no such bundle."""
        self._there(bundle)
        if name in self.branches:
            raise AlreadyExists(name)
        self.branches[name] = bundle

    def delete_branch(self, name: str, expect: str | None = None) -> None:
        """Delete a branch. Raises NotFound; Conflict if it does not point to ``expect``."""
        if name not in self.branches:
            raise NotFound(name)
        if expect is not None and self.branches[name] != expect:
            raise Conflict(name)
        del self.branches[name]

    def history(self, id: str) -> list[str]:
        """The ids of a bundle and its chain of first parents, newest first."""
        found = [id]
        while parents := self.bundles[found[-1]].parents:
            found.append(parents[0])
        return found

    def _there(self, bundle: str) -> None:
        if bundle not in self.bundles:
            raise NotFound(bundle)


@dataclass(slots=True)
class ModelStore:
    """The repos that are not deleted, sorted by name."""

    repos: dict[str, ModelRepo] = field(default_factory=dict)

    def create(self, id: str, name: str) -> ModelRepo:
        """Create a repo. Raises AlreadyExists."""
        self._free(name)
        self.repos[name] = ModelRepo(id, name)
        return self.repos[name]

    def rename(self, old: str, new: str) -> None:
        """Rename a repo. Raises NotFound, AlreadyExists."""
        if old not in self.repos:
            raise NotFound(old)
        self._free(new)
        repo = self.repos.pop(old)
        repo.name = new
        self.repos[new] = repo

    def delete(self, name: str) -> None:
        """Delete a repo. Raises NotFound."""
        if name not in self.repos:
            raise NotFound(name)
        del self.repos[name]

    def _free(self, name: str) -> None:
        if name in self.repos:
            raise AlreadyExists(name)


# -- differences -------------------------------------------------------------------------------------------------------


def assert_diff(old: Bundle, new: Bundle, before: Tree, after: Tree) -> None:
    """Raise AssertionError unless ``old.diff(new)`` is the exact difference of two trees (with a row for each folder)."""
    gone: dict[str, ModelEntry] = {}
    come: dict[str, ModelEntry] = {}
    modified = []
    for change in old.diff(new):
        if change.kind == "modified":
            modified.append(change.path)
        if change.kind in ("added", "renamed"):
            come[change.path] = after[change.path]
        if change.kind in ("deleted", "renamed"):
            path = change.old_path or change.path
            gone[path] = before[path]
        if change.kind == "renamed":
            _same_file(before[str(change.old_path)], after[change.path])
    _equal(gone, {path: before[path] for path in before.keys() - after.keys()}, "deleted")
    _equal(come, {path: after[path] for path in after.keys() - before.keys()}, "added")
    _equal(set(modified), {path for path in before.keys() & after.keys() if before[path] != after[path]}, "modified")
    _no_rename_left(old, new, before, after)


def _no_rename_left(old: Bundle, new: Bundle, before: Tree, after: Tree) -> None:
    found = list(old.diff(new))
    gone = _movable(before, (change.path for change in found if change.kind == "deleted"))
    come = _movable(after, (change.path for change in found if change.kind == "added"))
    _equal(gone & come, set(), "not seen as renamed")


def _movable(tree: Tree, paths: Iterable[str]) -> set[tuple[str, bytes]]:
    entries = [tree[path] for path in paths]
    return {(entry.kind, entry.content) for entry in entries if entry.kind != "folder" and entry.content}


def _same_file(old: ModelEntry, new: ModelEntry) -> None:
    _equal((old.kind, old.content), (new.kind, new.content), "renamed")


def _equal(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")
