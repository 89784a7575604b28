"""Manifest trees at the sizes that the format has: where nodes end, and what an edit rewrites."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.format.trees import Item, Shelf, batch_of, committed, shape

from sheaf.engine.manifest import tree_writer
from sheaf.engine.manifest.tree_writer import Change, leaves_of
from sheaf.format.limits import MAX_ROWS, MAX_WEIGHT, MIN_ROWS
from sheaf.format.node_v1 import ROWS, cut_rows
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key

SHELF = Shelf.new()


def large(folders: int, files: int, salt: int = 0) -> pa.RecordBatch:
    """Rows of so many folders with so many files each, built in columns."""
    names = [f"f{n:05}" for n in range(files)]
    tops = pa.array([f"d{n:03}" for n in range(folders)])
    n, total = folders, folders * (files + 1)
    content = np.zeros((total, 32), np.uint8)
    content[n:] = np.random.default_rng(salt).integers(0, 256, (total - n, 32), np.uint8)
    is_file = np.arange(total) >= n
    columns: dict[str, Any] = {name: pa.nulls(total, ROWS.field(name).type) for name in ROWS.names}
    columns |= {
        "folder": pa.concat_arrays(
            [pa.array([""] * n), pa.array(np.repeat(np.array(tops.to_pylist()), files), pa.string())]
        ),
        "name": pa.concat_arrays([tops, pa.array(names * folders)]),
        "kind": np.where(is_file, 0, 2).astype(np.uint8),
        "mode": np.where(is_file, 0o644, 0o755).astype(np.uint16),
        "mtime": np.zeros(total, np.int64),
        "size": np.zeros(total, np.int64),
        "content": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), total, [None, pa.py_buffer(content.tobytes())]),
        "place": np.zeros(total, np.uint8),
    }
    return pa.RecordBatch.from_pydict(columns, ROWS)


def leaves(pointer: Pointer) -> list[Pointer]:
    """The leaves of a tree."""
    return [leaf for leaf in leaves_of(SHELF.nodes, pointer) if not leaf.level]


def edited(batch: pa.RecordBatch, drop: range, put: list[tuple[str, str]]) -> tuple[pa.RecordBatch, list[Change]]:
    """The rows without some and with others, and the changes that lead there."""
    gone = batch.slice(drop.start, len(drop))
    keys = zip(gone["folder"].to_pylist(), gone["name"].to_pylist(), strict=True)
    edit: list[Change] = [(order_key(folder, name), None) for folder, name in keys]
    for folder, name in put:
        row = batch_of({f"{folder}/{name}": Item(content=7)})
        edit.append((order_key(folder, name), row))
    rows = [batch.slice(0, drop.start), batch.slice(drop.stop), *(row for _, row in edit if row is not None)]
    table = pa.Table.from_batches(rows)
    keyed = [order_key(f, n) for f, n in zip(table["folder"].to_pylist(), table["name"].to_pylist(), strict=True)]
    order = sorted(range(len(keyed)), key=keyed.__getitem__)
    after = table.take(pa.array(order)).combine_chunks().to_batches()[0]
    return after, sorted(edit, key=lambda change: change[0])


def test_leaves_have_the_sizes_that_the_format_says() -> None:
    root = SHELF.writer().build([large(60, 1000)])
    sizes = [leaf.rows for leaf in leaves(root)]
    assert sum(sizes) == root.rows == 60_060
    assert all(MIN_ROWS <= rows <= MAX_ROWS for rows in sizes[:-1])
    assert len(sizes) > 5


def test_rows_that_never_end_a_leaf_are_cut_at_the_limit() -> None:
    batch = batch_of({f"x{n:05}": Item(content=1) for n in range(40_000)})
    with patch.object(tree_writer, "cut_rows", lambda rows: (np.zeros(rows.num_rows, bool), cut_rows(rows)[1])):
        assert [leaf.rows for leaf in leaves(SHELF.writer().build([batch]))] == [16_384, 16_384, 7_232]


def test_long_names_are_cut_by_weight() -> None:
    model = {f"{n:04}" + "n" * 240: Item(content=1) for n in range(1100)}
    long = {path: Item(Kind.SYMLINK, 3000) for path in model}
    sizes = [leaf.rows for leaf in leaves(SHELF.build(long))]
    heavy = -(-MAX_WEIGHT // (244 + 3001))
    assert sizes[0] == heavy
    assert sum(sizes) == 1100


@pytest.mark.parametrize(
    ("drop", "put"),
    [
        (range(0), [("d030", "f0500x")]),
        (range(20_000, 45_000), []),
        (range(59_000, 60_060), [("d010", "a"), ("d010", "b"), ("d059", "zzz")]),
        (range(100, 60_060), []),
        (range(30_000, 30_001), [("d000", "z"), ("d059", "z")]),
    ],
)
def test_edits_of_a_large_tree_lead_to_the_tree_built_from_nothing(drop: range, put: list[tuple[str, str]]) -> None:
    batch = large(60, 1000)
    after, edit = edited(batch, drop, put)
    root = SHELF.writer().build([batch])
    new = SHELF.writer().edit(committed(root), edit)
    assert shape(new) == shape(SHELF.writer().build([after]))


def test_one_changed_file_writes_one_leaf_and_the_nodes_above() -> None:
    batch = large(60, 1000)
    root = SHELF.writer().build([batch])
    _, edit = edited(batch, range(30_000, 30_001), [])
    new = SHELF.writer().edit(committed(root), edit)
    kept = {leaf.id for leaf in leaves(root)}
    assert len([leaf for leaf in leaves(new) if leaf.id not in kept]) <= 2


def test_a_renamed_folder_keeps_its_leaves() -> None:
    """Keys are relative to the folder that a node's rows share: what moves is told above."""
    batch = large(1, 40_000)
    old = SHELF.writer().build([batch])
    folders = pc.replace_substring_regex(batch["folder"], "^d", "renamed-")
    moved = batch.set_column(0, "folder", folders)
    moved = moved.set_column(1, "name", pc.if_else(pc.equal(moved["folder"], ""), "renamed-000", moved["name"]))
    new = SHELF.writer(SHELF.reusable(old)).build([moved])
    kept = {leaf.id for leaf in leaves(old)}
    assert len([leaf for leaf in leaves(new) if leaf.id not in kept]) <= 1
    assert new.logical != old.logical
