"""Nodes read without Arrow, against the same read with it."""

from __future__ import annotations

from unittest.mock import Mock, patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.format.samples import inner, leaf, light_children, light_rows
from tests.format.trees import FOLDER, ITEMS, MODELS, PATHS, SMALL_NODES, Item, Model, Shelf, edits, small_nodes

from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.light_reader import LightReader
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.reader import manifest_reader
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.errors import Corrupt
from sheaf.format import node_v1
from sheaf.format.node_columns_v1 import CHILDREN_TYPES, ROWS_TYPES, decode_columns
from sheaf.format.node_v1 import ROWS, decode_children, decode_rows, encode_rows, row_hashes
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.ids import ksuid
from sheaf.model.nodes import Pointer

SHELF = Shelf.new(SMALL_NODES)
ID = ksuid(1_700_000_000, bytes(range(16)))


def bare(entry: ManifestEntry | None) -> ManifestEntry | None:
    """An entry without its place."""
    return entry and replace(entry, place=None)


def test_a_node_of_every_kind_of_row_is_read_alike() -> None:
    data, pointer = leaf()
    assert decode_columns(data, 0, "leaf") is not None
    assert light_rows(data, pointer) == [bare(entry) for entry in entries(decode_rows(data, pointer))]
    data, pointer = inner()
    assert decode_columns(data, pointer.level, "inner") is not None
    assert light_children(data, pointer) == [replace(p, packs=()) for p in decode_children(data, pointer)]


def test_columns_stand_in_the_order_of_the_format() -> None:
    for schema, known in ((ROWS, ROWS_TYPES), (node_v1.CHILDREN, CHILDREN_TYPES)):
        assert schema.names[: len(known)] == list(known)


@given(model=MODELS, paths=st.lists(PATHS, max_size=4))
def test_the_light_reader_reads_what_arrow_reads(model: Model, paths: list[str]) -> None:
    with small_nodes():
        root = SHELF.build(model)
    tree = Tree(SHELF.nodes, root)
    few, bulk = manifest_reader(tree, "few rows"), manifest_reader(tree, "bulk")
    for path in [*model, *paths]:
        assert few.find(path) == bulk.find(path), path
    for folder in ["", *(path for path in [*model, *paths])]:
        assert list(few.entries(folder, recursive=False)) == [bare(e) for e in bulk.entries(folder, recursive=False)], (
            folder
        )


@given(old=MODELS, data=st.data())
def test_pairs_of_leaves_differ_as_their_rows_do(old: Model, data: st.DataObject) -> None:
    """With the same paths on both sides, so that leaves are compared in pairs, and without any pairs at all."""
    new = {
        **old,
        **{path: data.draw(ITEMS) for path in old if old[path].kind != Kind.FOLDER and data.draw(st.booleans())},
    }
    new = {path: item if item.kind != Kind.FOLDER else old[path] for path, item in new.items()}
    new = data.draw(st.one_of(st.just(new), edits(new)))
    with small_nodes():
        left, right = Tree(SHELF.nodes, SHELF.build(old)), Tree(SHELF.nodes, SHELF.build(new))
    found = [(d.how, bare(d.old), bare(d.new)) for d in diff_trees(left, right)]
    with patch.object(Nodes, "columns", return_value=None):
        assert found == [(d.how, bare(d.old), bare(d.new)) for d in diff_trees(left, right)]


def encoded(batch: pa.RecordBatch) -> tuple[bytes, Pointer]:
    """A leaf with these rows, and the pointer to it."""
    data = encode_rows(ID, batch, "")
    return data, Pointer(bytes(32), len(data), 0, "", batch.num_rows, 0, *row_hashes(batch, ""))


@pytest.mark.parametrize("name", ["..", "", "a/b", "a\0b", "x" * 300])
def test_a_name_that_leads_elsewhere_is_damage(name: str) -> None:
    rows = decode_rows(*leaf()).to_pylist()[:1]
    batch = pa.RecordBatch.from_pylist([{**rows[0], "folder": "", "name": name}], ROWS)
    with pytest.raises(Corrupt, match="has an invalid row"):
        light_rows(*encoded(batch))


def test_a_node_that_is_written_otherwise_is_left_to_arrow() -> None:
    batch = decode_rows(*leaf())
    with patch.object(node_v1, "_OPTIONS", pa.ipc.IpcWriteOptions()):
        plainless, pointer = encoded(batch)
    swapped = batch.select([*ROWS.names[::-1]])
    assert decode_columns(plainless, 0, "leaf") is None
    assert decode_columns(node_v1._encode(ID, 0, swapped), 0, "leaf") is None
    assert light_rows(plainless, pointer) == list(entries(decode_rows(plainless, pointer)))


def alone(tree: Tree) -> LightReader:
    """A light reader of a tree that has nobody to ask."""
    tree = Tree(tree.nodes, tree.root)
    for call in ("find", "entries"):
        setattr(tree, call, Mock(side_effect=AssertionError("Arrow was asked")))
    return LightReader(tree)


def test_the_light_reader_asks_arrow_for_a_node_that_is_written_otherwise() -> None:
    shelf = Shelf.new()
    with patch.object(node_v1, "_OPTIONS", pa.ipc.IpcWriteOptions()):
        tree = Tree(shelf.nodes, shelf.build({"a": Item()}))
    with pytest.raises(AssertionError):
        alone(tree).find("a")
    assert LightReader(tree).find("a") == tree.find("a") is not None
    assert list(LightReader(tree).entries(recursive=False)) == list(tree.entries())


def test_the_light_reader_asks_for_whole_subtrees_alone() -> None:
    shelf = Shelf.new()
    tree = Tree(shelf.nodes, shelf.build({"a": FOLDER, "a/b": Item()}))
    assert [entry.path for entry in alone(tree).entries("a", recursive=False)] == ["a/b"]
    with pytest.raises(AssertionError):
        alone(tree).entries("a")


def test_nodes_are_fetched_once_for_many_lookups() -> None:
    shelf = Shelf.new(SMALL_NODES)
    model = {f"{n:02}": Item(content=n) for n in range(40)}
    with small_nodes():
        root = shelf.build(model)
    assert root.level
    reader = alone(Tree(shelf.nodes, root))
    wanted = [reader.find(path) for path in model]
    with patch.object(shelf.core.backend, "get", side_effect=AssertionError("fetched again")):
        assert [reader.find(path) for path in model] == wanted
    assert None not in wanted
