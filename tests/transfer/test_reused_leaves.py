"""An upload reuses the leaves in which nothing has changed, and writes what it would have written without them."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.builders import condemn
from tests.format.trees import FOLDER, MODELS, SMALL_NODES, Item, Model, edits, ordered, small_nodes

from sheaf.engine.clock import SystemClock
from sheaf.engine.core import create_store
from sheaf.format import keys, node_v1
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.repo.bundle import Bundle
from sheaf.repo.repo import Repo
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.port import Backend
from sheaf.testing.clock import SteeredClock
from sheaf.transfer.local import scan as scanning

MANY: Model = {"a": FOLDER} | {f"a/{number:03d}": Item(content=number % 40) for number in range(200)}


def new_repo(cache: Path) -> Repo:
    """A repo of a new store."""
    backend = MemoryBackend()
    create_store(backend, SystemClock())
    return opened(backend, cache, "first").create_repo("r")


def opened(backend: Backend, cache: Path, seed: str) -> Store:
    """A store with a clock so late that no file is young. ``seed``: another one for each process."""
    clock = SteeredClock(seed, int(time.time()) + 1000)
    return Store(backend, cache=cache, clock=clock, limits=SMALL_NODES)


def change(root: Path, before: Model, after: Model) -> None:
    """Bring a folder from one model to another, touching nothing that is equal in both."""
    for path in reversed(ordered(before)):
        if before[path] != after.get(path) and not (before[path].kind == after.get(path, Item()).kind == Kind.FOLDER):
            (root / path).rmdir() if before[path].kind == Kind.FOLDER else (root / path).unlink()
    for path in ordered(after):
        if before.get(path) != after[path]:
            put(root / path, after[path])
    for path in reversed(ordered(after)):
        if after[path].kind == Kind.FOLDER:
            os.utime(root / path, ns=(0, after[path].mtime))


def put(place: Path, item: Item) -> None:
    """Create what an item stands for, if it is no folder that is there already."""
    if item.kind == Kind.FOLDER:
        place.mkdir(exist_ok=True)
    elif item.kind == Kind.SYMLINK:
        place.symlink_to("t" * (item.content + 1))
    else:
        place.write_bytes(b"%02d" % item.content)
    if item.kind != Kind.SYMLINK:
        place.chmod(item.mode)
    os.utime(place, ns=(0, item.mtime), follow_symlinks=False)


def upload(repo: Repo, root: Path) -> Bundle:
    with small_nodes():
        return repo.upload(root, message="m", allow_empty=True).bundle


def leaves_of(bundle: Bundle) -> list[Pointer]:
    """All leaves of a bundle, in order."""
    pending, leaves = [bundle.tree.root], list[Pointer]()
    while pending:
        at = pending.pop()
        pending += reversed(bundle.tree.nodes.children(at)) if at.level else []
        leaves += [] if at.level else [at]
    return leaves


def shape(bundle: Bundle) -> list[tuple[object, ...]]:
    """All that doesn't depend on the session: hashes and counts of the root and the leaves."""
    nodes = [bundle.tree.root, *leaves_of(bundle)]
    return [(node.full, node.logical, node.level, node.rows, node.size, node.prefix) for node in nodes]


@settings(max_examples=40)
@given(model=MODELS, data=st.data())
def test_a_changed_folder_has_the_tree_of_a_first_upload(model: Model, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as tmp:
        root, cache = Path(tmp, "in"), Path(tmp, "cache")
        root.mkdir()
        repo, before = new_repo(cache), Model()
        for after in (model, data.draw(edits(model)), model):
            change(root, before, after)
            reused, fresh = upload(repo, root), upload(new_repo(Path(tmp, "none")), root)
            assert shape(reused) == shape(fresh)
            assert seen(reused) == seen(fresh)
            before = after


def seen(bundle: Bundle) -> list[tuple[object, ...]]:
    """All entries of a bundle, and the bytes of its files."""
    return [
        (e.path, e.kind, e.mode, e.mtime, e.target, bundle.read(e.path) if e.kind == Kind.FILE else b"")
        for e in bundle.tree.entries()
    ]


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the nodes that are encoded and decoded as rows, and the looks at files of a scan."""
    counts = Counter[str]()

    def count(module: object, name: str, what: str) -> object:
        original = getattr(module, name)

        def call(*args: object, **kwargs: object) -> object:
            counts[what] += 1
            return original(*args, **kwargs)

        return patch.object(module, name, call)

    with (
        count(node_v1, "_check_rows", "decoded"),  # type: ignore[attr-defined]
        count(node_v1, "_cut_prefix", "hashed"),  # type: ignore[attr-defined]
        count(scanning.os, "stat", "stat"),  # type: ignore[attr-defined]
    ):
        yield counts


@pytest.fixture
def uploaded(tmp_path: Path) -> tuple[Repo, Path, Bundle]:
    (tmp_path / "in").mkdir()
    change(tmp_path / "in", {}, MANY)
    repo = new_repo(tmp_path / "cache")
    return repo, tmp_path / "in", upload(repo, tmp_path / "in")


def test_nothing_of_an_unchanged_folder_is_decoded_or_hashed(uploaded: tuple[Repo, Path, Bundle]) -> None:
    repo, root, first = uploaded
    assert first.tree.root.level > 1
    with counted() as counts:
        again = upload(repo, root)
    assert again.tree.root.id == first.tree.root.id
    assert counts["decoded"] == counts["hashed"] == 0
    assert counts["stat"] <= len(MANY) + 50  # once each, and what all of the upload needs


def test_a_changed_file_costs_the_leaves_around_it(uploaded: tuple[Repo, Path, Bundle]) -> None:
    repo, root, first = uploaded
    change(root, MANY, MANY | {"a/100": Item(content=9)})
    with counted() as counts:
        again = upload(repo, root)
    assert again.tree.root.logical != first.tree.root.logical
    assert 0 < counts["decoded"] <= 8  # leaves of 2 to 6 rows: about 50
    assert 0 < counts["hashed"] <= 16


def test_condemned_leaves_and_packs_are_not_reused(uploaded: tuple[Repo, Path, Bundle]) -> None:
    repo, root, first = uploaded
    leaves = leaves_of(first)
    pack = leaves[3].packs[0][0]
    condemn(first.tree.nodes._core.backend, dead=[pack], nodes=[leaves[0].id])
    again = upload(repo, root)
    assert again.tree.root.full == first.tree.root.full
    assert leaves[0].id not in {leaf.id for leaf in leaves_of(again)}
    assert pack not in {pack for leaf in leaves_of(again) for pack, _ in leaf.packs}


def test_a_damaged_leaf_is_written_again(tmp_path: Path, uploaded: tuple[Repo, Path, Bundle]) -> None:
    _, root, first = uploaded
    backend, lost = first.tree.nodes._core.backend, leaves_of(first)[3]
    backend.delete(keys.node(lost.id))
    again = upload(opened(backend, tmp_path / "cache", "second").repo("r"), root)
    assert again.tree.root.full == first.tree.root.full
    assert lost.id not in {leaf.id for leaf in leaves_of(again)}
    assert len(seen(again)) == len(MANY)


def test_an_edit_that_keeps_size_and_time_is_noticed(uploaded: tuple[Repo, Path, Bundle]) -> None:
    repo, root, _ = uploaded
    place = root / "a/100"
    status = place.stat()
    place.write_bytes(b"XY")
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert upload(repo, root).read("a/100") == b"XY"
