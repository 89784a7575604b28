"""Manifest trees are canonical: the same rows give the same root, however they came together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.format.trees import (
    FOLDER,
    ITEMS,
    MODELS,
    PATHS,
    SMALL_NODES,
    Item,
    Model,
    Shelf,
    batch_of,
    changes,
    committed,
    edits,
    grown,
    shape,
    small_nodes,
)

SHELF = Shelf.new(SMALL_NODES)
SMALL = st.dictionaries(PATHS, ITEMS, min_size=1, max_size=4).map(grown)


@given(model=MODELS, data=st.data())
def test_rows_may_arrive_in_any_batches(model: Model, data: st.DataObject) -> None:
    batch = batch_of(model)
    cuts = sorted(data.draw(st.lists(st.integers(0, batch.num_rows), max_size=8)))
    with small_nodes():
        whole = SHELF.build(model)
        pieces = SHELF.writer().build(batch.slice(a, b - a) for a, b in pairwise([0, *cuts, batch.num_rows]))
    assert shape(whole) == shape(pieces)
    assert SHELF.holds(whole, model)
    assert SHELF.holds(pieces, model)


@given(model=MODELS, data=st.data())
def test_edits_lead_to_the_tree_that_is_built_from_nothing(model: Model, data: st.DataObject) -> None:
    with small_nodes():
        root = SHELF.build(model)
        for _ in range(data.draw(st.integers(1, 4))):
            after = data.draw(edits(model))
            root = SHELF.writer().edit(committed(root), changes(model, after))
            model = after
            assert shape(root) == shape(SHELF.build(model))
    assert SHELF.holds(root, model)


@given(model=MODELS, data=st.data())
def test_changes_that_change_nothing_are_harmless(model: Model, data: st.DataObject) -> None:
    same = data.draw(st.lists(st.sampled_from(sorted(model)), unique=True)) if model else []
    other = {path: Item() for path in data.draw(st.lists(st.text("xyz", min_size=1, max_size=3), unique=True))}
    edit = sorted(changes({}, {path: model[path] for path in same}) + changes(other, {}), key=lambda change: change[0])
    with small_nodes():
        root = SHELF.build(model)
        assert shape(SHELF.writer().edit(root, edit)) == shape(root)


@given(model=MODELS, data=st.data())
def test_what_is_reused_is_what_would_have_been_written(model: Model, data: st.DataObject) -> None:
    after = data.draw(edits(model))
    with small_nodes():
        old = SHELF.build(model)
        new = SHELF.build(after, SHELF.reusable(old))
        assert shape(new) == shape(SHELF.build(after))
    assert SHELF.holds(new, after)
    if after == model:
        assert new.id == old.id


@given(model=SMALL, name=st.text("abcdef", min_size=1, max_size=2).map("top/{}".format))
def test_a_moved_tree_is_reused_with_its_own_packs(model: Model, name: str) -> None:
    """A root knows no packs of its own: where it becomes a leaf of another tree they must be found."""
    moved = grown({"top": FOLDER, name: FOLDER} | {f"{name}/{path}": item for path, item in model.items()})
    with small_nodes():
        root = SHELF.build(moved, SHELF.reusable(SHELF.build(model)))
        assert shape(root) == shape(SHELF.build(moved))
    assert SHELF.holds(root, moved)


@given(model=MODELS)
def test_a_version_knows_names_contents_and_x_bits_only(model: Model) -> None:
    plain = {path: Item(item.kind, item.content, item.mode & 0o100, 99) for path, item in model.items()}
    with small_nodes():
        root, other = SHELF.build(model), SHELF.build(plain)
    assert root.logical == other.logical
    assert (root.full == other.full) == (not model)


@given(model=MODELS, data=st.data())
def test_different_trees_have_different_versions(model: Model, data: st.DataObject) -> None:
    after = data.draw(edits(model))

    def versioned(tree: Model) -> dict[str, tuple[int, int, bool]]:
        return {
            p: (i.kind, 0 if i == FOLDER else i.content, i.kind == 0 and i.mode & 0o100 != 0) for p, i in tree.items()
        }

    with small_nodes():
        assert (SHELF.build(model).logical == SHELF.build(after).logical) == (versioned(model) == versioned(after))
