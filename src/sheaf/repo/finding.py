"""Files in all bundles, by path, content and what was said of the bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fsspec.utils import glob_translate

from sheaf.engine.finding import LeafSearch
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.repo.bundle import Bundle
from sheaf.repo.records import Entry, entry_of

__all__ = ["Found", "find_in"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file or symlink of a bundle."""

    bundle: Bundle
    entry: Entry


def find_in(nodes: Nodes, bundles: Iterable[Bundle], pattern: str, content: bytes | None) -> Iterator[Found]:
    """The matches, bundle by bundle. A node that several bundles share is read once."""
    path = re.compile(glob_translate(pattern.strip("/")))
    search = LeafSearch(nodes, lambda name: path.match(name) is not None, content)
    for bundle in bundles:
        for entry in search.entries(pointer_of(bundle.descriptor.root)):
            yield Found(bundle, entry_of(entry))
