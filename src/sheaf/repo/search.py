"""Find files in all bundles, by path, content and metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fsspec.utils import glob_translate

from sheaf.engine.erase.locate import LeafSearch
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.values import Entry, entry_of

__all__ = ["FoundFile", "bundles_of", "find_in"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file or symlink of a bundle."""

    bundle: Bundle
    entry: Entry


def bundles_of(
    repos: Iterable[Repo], branch: str | None, meta: Mapping[str, str], *, must_have_branch: bool
) -> Iterator[Bundle]:
    """Yield the bundles of repos, or of a branch's history, that have this metadata.

    A repo without the branch is skipped; with ``must_have_branch`` it raises NotFound.
    """
    for repo in repos:
        if branch and not must_have_branch and all(each.name != branch for each in repo.branches()):
            continue
        bundles = repo.log(f"branch:{branch}") if branch else iter(repo.bundles())
        yield from (bundle for bundle in bundles if meta.items() <= bundle.meta.items())


def find_in(nodes: Nodes, bundles: Iterable[Bundle], pattern: str, content: bytes | None) -> Iterator[FoundFile]:
    """Yield the matches, bundle by bundle. Shared nodes are read once."""
    path = re.compile(glob_translate(pattern.strip("/")))
    search = LeafSearch(nodes, lambda name: path.match(name) is not None, content)
    for bundle in bundles:
        for entry in search.entries(pointer_of(bundle.descriptor.root)):
            yield FoundFile(bundle, entry_of(entry))
