"""Manifest nodes as bytes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.format.samples import ID, digest, inner, leaf, rows
from tests.format.trees import MODELS, Model, batch_of

from sheaf.errors import Corrupt
from sheaf.format.envelope import encode_envelope, header_span
from sheaf.format.node_v1 import (
    CHILDREN,
    ROWS,
    children_hashes,
    decode_children,
    decode_rows,
    encode_children,
    encode_rows,
    leaf_packs,
    row_hashes,
    rows_prefix,
)
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key


def pointer(batch: pa.RecordBatch, prefix: str) -> Pointer:
    """What a parent would say of these rows, as far as decoding asks."""
    return Pointer(digest(0), 0, 0, prefix, batch.num_rows, 0, digest(0), digest(0))


def test_every_column_survives() -> None:
    data, where = leaf()
    assert decode_rows(data, where).to_pylist() == rows().to_pylist()
    assert decode_rows(data, where).schema == ROWS


@given(MODELS)
def test_rows_come_out_with_their_folders(model: Model) -> None:
    batch = batch_of(model)
    for prefix in {"", rows_prefix(batch)}:
        assert decode_rows(encode_rows(ID, batch, prefix), pointer(batch, prefix)).to_pylist() == batch.to_pylist()


def test_the_same_bytes_stand_below_any_folder() -> None:
    batch = rows()
    data = encode_rows(ID, batch, "a/b")
    moved = decode_rows(data, pointer(batch, "x"))
    assert set(moved["folder"].to_pylist()) == {"x", "x/sub"}
    assert row_hashes(moved, "x") == row_hashes(batch, "a/b")
    assert row_hashes(batch, "a") != row_hashes(batch, "a/b")


def test_slices_are_written_and_hashed_as_what_they_show() -> None:
    batch = rows()
    for start in range(batch.num_rows):
        part = batch.slice(start, 3)
        whole = pa.RecordBatch.from_pylist(part.to_pylist(), ROWS)
        assert row_hashes(part, "a/b") == row_hashes(whole, "a/b")
        assert leaf_packs(part) == leaf_packs(whole)
        assert decode_rows(encode_rows(ID, part, "a/b"), pointer(part, "a/b")).to_pylist() == part.to_pylist()


NAMES = st.text("ab/", max_size=3)
CHILD = st.builds(
    Pointer,
    id=st.integers(0, 9).map(digest),
    length=st.integers(1, 2**40),
    level=st.just(0),
    prefix=st.sampled_from(["a", "a/b", "a/c/d"]),
    rows=st.integers(1, 2**40),
    size=st.integers(0, 2**60),
    logical=st.integers(0, 9).map(digest),
    full=st.integers(0, 9).map(digest),
    folder=st.sampled_from(["a", "a/b", "a/c/d/e"]),
    name=st.text("abé", min_size=1, max_size=3),
    packs=st.lists(st.tuples(st.integers(0, 9).map(digest), st.integers(0, 2**40)), max_size=3).map(tuple),
)


def key_of(child: Pointer) -> bytes:
    """What children are ordered by."""
    return order_key(child.folder, child.name)


@given(children=st.lists(CHILD, min_size=1, max_size=8, unique_by=key_of).map(lambda some: sorted(some, key=key_of)))
def test_children_come_out_as_they_went_in(children: list[Pointer]) -> None:
    total = sum(child.rows for child in children)
    for prefix in ("", "a"):
        where = Pointer(digest(0), 0, 1, prefix, total, 0, digest(0), digest(0))
        assert decode_children(encode_children(ID, 1, children, prefix), where) == children
    with pytest.raises(Corrupt, match="number of rows"):
        decode_children(encode_children(ID, 1, children, ""), replace(where, prefix="", rows=total + 1))


@given(children=st.lists(CHILD, min_size=2, max_size=4))
def test_hashes_of_inner_nodes_tell_children_apart(children: list[Pointer]) -> None:
    logical, full = children_hashes(1, children, "a")
    below = children_hashes(1, [replace(c, prefix="b" + c.prefix[1:]) for c in children], "b")
    assert below == (logical, full)
    assert children_hashes(2, children, "a")[0] != logical
    first, *rest = children
    for other in (
        replace(first, rows=first.rows + 1),
        replace(first, prefix=first.prefix + "/x"),
        replace(first, logical=digest(99)),
    ):
        assert children_hashes(1, [other, *rest], "a")[0] != logical
    changed = children_hashes(1, [replace(first, full=digest(99)), *rest], "a")
    assert changed[0] == logical
    assert changed[1] != full
    assert children_hashes(1, [replace(first, id=digest(99), packs=()), *rest], "a") == (logical, full)


def test_a_node_that_is_not_what_its_parent_says_is_refused() -> None:
    data, where = leaf()
    for wrong in (replace(where, rows=where.rows + 1), replace(where, level=1)):
        with pytest.raises(Corrupt, match="not the node that its parent describes"):
            decode_rows(data, wrong) if not wrong.level else decode_children(data, wrong)
    with pytest.raises(Corrupt, match="not the node"):
        decode_children(inner()[0], replace(inner()[1], level=2))


def stream(batch: pa.RecordBatch, level: int, times: int = 1) -> bytes:
    """A node of a batch that the encoder would not write."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        for _ in range(times):
            writer.write_batch(batch)
    header = {"session": ID, "level": level, "rows": batch.num_rows, "raw": batch.nbytes}
    return encode_envelope("N", header) + bytes(sink.getvalue())


@pytest.mark.parametrize("column", ["folder", "name", "kind", "mode", "mtime", "size", "content", "place"])
def test_a_row_that_lacks_something_is_refused(column: str) -> None:
    batch = rows()
    values = batch[column].to_pylist()
    damaged = batch.set_column(
        batch.schema.get_field_index(column), column, pa.array([*values[:-1], None], ROWS.field(column).type)
    )
    with pytest.raises(Corrupt, match="missing values"):
        decode_rows(stream(damaged, 0), pointer(batch, ""))


@pytest.mark.parametrize("column", ["pack", "offset", "stored", "recipe", "url"])
def test_a_file_without_its_place_is_refused(column: str) -> None:
    batch = rows()
    nothing = pa.nulls(batch.num_rows, ROWS.field(column).type)
    damaged = batch.set_column(batch.schema.get_field_index(column), column, nothing)
    with pytest.raises(Corrupt, match="without a place"):
        decode_rows(stream(damaged, 0), pointer(batch, ""))


@pytest.mark.parametrize("column", [name for name in CHILDREN.names if name != "packs"])
def test_a_child_that_lacks_something_is_refused(column: str) -> None:
    data, where = inner()
    batch = pa.ipc.open_stream(data[header_span(data)[1] :]).read_next_batch()
    nothing = pa.nulls(batch.num_rows, CHILDREN.field(column).type)
    damaged = batch.set_column(batch.schema.get_field_index(column), column, nothing)
    with pytest.raises(Corrupt, match="missing values"):
        decode_children(stream(damaged, 1), where)


def test_columns_of_a_later_version_are_left_out() -> None:
    batch = rows().append_column("later", pa.array(range(rows().num_rows)))
    assert decode_rows(stream(batch, 0), pointer(batch, "")).schema == ROWS
    with pytest.raises(Corrupt):
        decode_rows(stream(rows().drop_columns(["etag"]), 0), pointer(batch, ""))


def test_a_node_is_one_batch() -> None:
    for times in (0, 2):
        with pytest.raises(Corrupt, match="exactly one record batch"):
            decode_rows(stream(rows(), 0, times), pointer(rows(), ""))
