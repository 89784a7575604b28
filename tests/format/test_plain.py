"""Nodes read without Arrow, against the same read with it."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.format.samples import inner, leaf, plain_children, plain_rows
from tests.format.trees import ITEMS, MODELS, PATHS, SMALL_NODES, Model, Shelf, edits, small_nodes

from sheaf.engine.manifest.light_reader import Glance, NotPlain
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.engine.manifest.tree_diff import diff_trees
from sheaf.errors import Corrupt
from sheaf.format import node_v1
from sheaf.format.node_v1 import ROWS, decode_children, decode_rows, encode_rows, row_hashes
from sheaf.format.plain_v1 import CHILDREN_TYPES, ROWS_TYPES, plain_node
from sheaf.model.entries import Entry, Kind
from sheaf.model.ids import ksuid
from sheaf.model.nodes import Pointer

SHELF = Shelf.new(SMALL_NODES)
ID = ksuid(1_700_000_000, bytes(range(16)))


def bare(entry: Entry | None) -> Entry | None:
    """An entry without its place."""
    return entry and replace(entry, place=None)


def test_a_node_of_every_kind_of_row_is_read_alike() -> None:
    data, pointer = leaf()
    assert plain_node(data, 0, "leaf") is not None
    assert plain_rows(data, pointer) == [bare(entry) for entry in entries(decode_rows(data, pointer))]
    data, pointer = inner()
    assert plain_node(data, pointer.level, "inner") is not None
    assert plain_children(data, pointer) == [replace(p, packs=()) for p in decode_children(data, pointer)]


def test_columns_stand_in_the_order_of_the_format() -> None:
    for schema, known in ((ROWS, ROWS_TYPES), (node_v1.CHILDREN, CHILDREN_TYPES)):
        assert schema.names[: len(known)] == list(known)


@given(model=MODELS, paths=st.lists(PATHS, max_size=4))
def test_a_glance_sees_what_the_tree_holds(model: Model, paths: list[str]) -> None:
    with small_nodes():
        root = SHELF.build(model)
    tree, glance = Tree(SHELF.nodes, root), Glance(SHELF.nodes, root)
    for path in [*model, *paths]:
        assert glance.find(path) == bare(tree.find(path)), path
    for folder in ["", *(path for path in [*model, *paths])]:
        assert list(glance.below(folder)) == [bare(e) for e in tree.entries(folder, recursive=False)], folder


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
    with patch.object(Nodes, "plain", return_value=None):
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
        plain_rows(*encoded(batch))


def test_a_node_that_is_written_otherwise_is_left_to_arrow() -> None:
    batch = decode_rows(*leaf())
    with patch.object(node_v1, "_OPTIONS", pa.ipc.IpcWriteOptions()):
        plainless, pointer = encoded(batch)
    swapped = batch.select([*ROWS.names[::-1]])
    assert plain_node(plainless, 0, "leaf") is None
    assert plain_node(node_v1._encode(ID, 0, swapped), 0, "leaf") is None
    assert plain_rows(plainless, pointer) == list(entries(decode_rows(plainless, pointer)))


def test_a_glance_at_a_node_that_is_written_otherwise_says_so() -> None:
    with patch.object(node_v1, "_OPTIONS", pa.ipc.IpcWriteOptions()):
        root = SHELF.build({})
    with pytest.raises(NotPlain):
        Glance(SHELF.nodes, root).find("a")
