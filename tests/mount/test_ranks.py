"""Rows by number: the same as the manifest in order, at a cost that does not go with its size."""

from __future__ import annotations

import random

import pytest
from tests.transfer.bundles import File, Folder, Shelf

from sheaf.engine.manifest.ranks import Decoded, Ranks
from sheaf.engine.manifest.tree import Tree
from sheaf.model.paths import order_key, split
from sheaf.mount.fuse.port import WaitPolicy, WouldWait
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import CountBackend

FOLDERS = ["", "a", "a/b", "a b", "b", "b/c/d", "zz"]


@pytest.fixture(scope="module")
def shelf() -> Shelf:
    return Shelf(CountBackend(MemoryBackend()))


@pytest.fixture(scope="module")
def tree(shelf: Shelf) -> Tree:
    chance = random.Random(3)
    paths = {f"{chance.choice(FOLDERS)}/{chance.randrange(10**6):06}".strip("/") for _ in range(9000)}
    return shelf.bundle({**{path: File(b"") for path in paths}, "empty": Folder()})


def test_numbers_follow_the_order_of_the_manifest(tree: Tree) -> None:
    ranks = Ranks(tree)
    entries = list(tree.entries())
    assert len(ranks) == len(entries)
    for number in [*range(20), *range(5000, 5020), len(entries) - 1]:
        leaf = ranks.leaf(number)
        assert leaf.path(number - leaf.first) == entries[number].path
        assert leaf.mtime[number - leaf.first] == entries[number].mtime
    for number in (-1, len(entries)):
        with pytest.raises(IndexError):
            ranks.leaf(number)


def test_paths_are_found_and_others_are_not(tree: Tree) -> None:
    ranks = Ranks(tree)
    entries = list(tree.entries())
    for number in range(0, len(entries), 97):
        assert ranks.find(*split(entries[number].path)) == number
    for path in ("a/b/nope", "", "zzz", "a/b/c", "0"):
        assert ranks.find(*split(path)) is None


@pytest.mark.parametrize("folder", [*FOLDERS, "b/c", "empty"])
def test_what_is_in_a_folder_is_one_range(tree: Tree, folder: str) -> None:
    span = Ranks(tree).span(folder)
    expected = [n for n, entry in enumerate(tree.entries()) if entry.folder == folder]
    assert list(span) == expected


def test_looking_at_one_path_of_a_big_bundle_reads_one_node_a_level(shelf: Shelf) -> None:
    rows = [
        {"folder": "f", "name": f"{n:07}", "kind": 0, "mode": 0o644, "mtime": 0, "content": bytes(32)}
        for n in range(200_000)
    ]
    folder = {"folder": "", "name": "f", "kind": 2, "mode": 0o755, "mtime": 0}
    made = shelf.tree(sorted([folder, *rows], key=lambda row: order_key(str(row["folder"]), str(row["name"]))))
    backend = shelf.backend
    assert isinstance(backend, CountBackend)
    fresh = Shelf(backend)
    backend.reset()
    ranks = Ranks(Tree(fresh.nodes, made.root), Decoded())
    assert ranks.find("f", "0123456") is not None
    assert backend.tally().requests <= made.root.level + 1


def test_a_thread_that_must_not_wait_is_told_before_anything_is_fetched(tree: Tree) -> None:
    patience = WaitPolicy()
    ranks = Ranks(tree, Decoded(), patience.ask)
    patience.serve_here()
    with pytest.raises(WouldWait):
        ranks.leaf(0)
