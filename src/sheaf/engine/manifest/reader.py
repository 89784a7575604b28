"""The reader of manifests: one interface, two implementations, and the one place that chooses between them.

By Arrow (:class:`~sheaf.engine.manifest.tree.Tree`) millions of rows are read as columns, with their places; without it
(:class:`~sheaf.engine.manifest.light_reader.LightReader`) a path or a folder is read before Arrow would be loaded. The
caller says how much it reads; what else the program has imported must not change which code runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol

from sheaf.engine.manifest.light_reader import LightReader
from sheaf.engine.manifest.tree import Tree
from sheaf.model.entries import ManifestEntry

__all__ = ["Amount", "ManifestReader", "manifest_reader"]

Amount = Literal["few rows", "bulk"]


class ManifestReader(Protocol):
    """Reads the rows of one manifest. Safe to use from many threads."""

    def find(self, path: str) -> ManifestEntry | None:
        """The entry of a path, or None. Raises Corrupt."""

    def entries(self, folder: str = "", *, recursive: bool = True) -> Iterator[ManifestEntry]:
        """The entries below a folder (without its own), in order: all of them, or only one level. Raises Corrupt."""


def manifest_reader(tree: Tree, amount: Amount) -> ManifestReader:
    """The implementation for an amount of rows. For few rows, the entries of a folder lack their places."""
    return LightReader(tree) if amount == "few rows" else tree
