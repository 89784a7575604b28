"""Folders that are removed, moved and copied by reference, against the same done with dictionaries.

A tree made of whole nodes of other trees must be the tree that the same rows have when they are written from nothing.
"""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.format.trees import (
    FOLDER,
    MODELS,
    PATHS,
    SMALL_NODES,
    Item,
    Model,
    Shelf,
    committed,
    put,
    remove,
    shape,
    small_nodes,
)

from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_edit import BundleTree, Changes
from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind
from sheaf.model.paths import ancestors, is_below, join, relative

SHELF = Shelf.new(SMALL_NODES)


def files(model: Model) -> int:
    return sum(item.kind != Kind.FOLDER for item in model.values())


def source_of(model: Model) -> BundleTree:
    return BundleTree(Tree(SHELF.nodes, committed(SHELF.build(model))), files(model))


def insert(model: Model, below: Model, target: str) -> Model | None:
    """The model with an entry and what is below it, by relative path; None where a file and a folder would meet."""
    after = dict(model)
    for path, item in below.items():
        at = join(target, path)
        is_folder = item.kind == Kind.FOLDER
        if any(after.get(above, FOLDER).kind != Kind.FOLDER for above in ancestors(at)):
            return None
        if at in after and (after[at].kind == Kind.FOLDER) != is_folder:
            return None
        for above in ancestors(at):
            after.setdefault(above, Item(Kind.FOLDER, 0, 0o755, item.mtime))
        after[at] = item
    return after


def taken(model: Model, path: str) -> Model:
    return {relative(at, path): item for at, item in sorted(model.items()) if is_below(at, path)}


def moved(model: Model, path: str, target: str) -> Model | None:
    """The model with an entry at another path; None if it can't be there."""
    if path not in model or is_below(target, path):
        return None
    if target in model and FOLDER.kind in (model[path].kind, model[target].kind):
        return None
    if any(model.get(above, FOLDER).kind != Kind.FOLDER for above in ancestors(target)):
        return None
    below, after = taken(model, path), dict(model)
    remove(after, path)
    return insert(after, below, target)


def holds(changes: Changes, after: Model) -> None:
    """Check that the changes make exactly the tree of a model."""
    assert changes.files() == files(after)
    root = SHELF.writer().build(changes.pieces())
    assert SHELF.holds(committed(root), after)
    assert shape(committed(root)) == shape(committed(SHELF.build(after)))


@given(model=MODELS, other=MODELS, data=st.data())
def test_whole_folders_make_the_tree_that_their_rows_make(model: Model, other: Model, data: st.DataObject) -> None:
    with small_nodes():
        after, foreign = dict(model), source_of(other)
        changes = Changes(SHELF.nodes, source_of(model))
        for _ in range(data.draw(st.integers(1, 6))):
            kind = data.draw(st.sampled_from(["remove", "move", "copy", "graft", "put"]))
            path = data.draw(st.sampled_from(sorted(other if kind == "graft" else after) or ["none"]) | PATHS)
            target = data.draw(PATHS | st.sampled_from(sorted(after) or ["none"]))
            expected = _expected(kind, after, other, path, target)
            if expected is None:
                continue  # a refused step may have changed something: an edit gives up then
            _apply(changes, kind, foreign, path, target)
            after = expected
        holds(changes, after)


def _expected(kind: str, model: Model, other: Model, path: str, target: str) -> Model | None:
    if kind == "put":
        return insert(model, {"": Item(content=7)}, target)
    if path not in (other if kind == "graft" else model):
        return None
    if kind == "remove":
        after = dict(model)
        remove(after, path)
        return after
    if kind == "move":
        return moved(model, path, target)
    return insert(model, taken(other if kind == "graft" else model, path), target)


def _apply(changes: Changes, kind: str, foreign: BundleTree, path: str, target: str) -> None:
    match kind:
        case "remove":
            changes.remove(path)
        case "move":
            changes.move(path, target)
        case "copy":
            changes.copy(path, target)
        case "graft":
            changes.graft(foreign, path, target)
        case _:
            from tests.format.trees import batch_of

            changes.put_row(batch_of({target: Item(content=7)}))


@given(model=MODELS, data=st.data())
def test_what_can_not_be_moved_is_refused(model: Model, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(model) or ["none"]) | PATHS)
    target = data.draw(st.sampled_from(sorted(model) or ["none"]) | PATHS)
    with small_nodes():
        changes = Changes(SHELF.nodes, source_of(model))
        after = moved(model, path, target)
        if after is None:
            with pytest.raises((NotFound, InvalidInput)):
                changes.move(path, target)
        else:
            changes.move(path, target)
        holds(changes, model if after is None else after)


def grown(count: int) -> Model:
    model: Model = {}
    for number in range(count):
        put(model, f"a/{number % 7}/{number:05}", Item(content=number % 40))
        put(model, f"z/{number:05}", Item(content=number % 40))
    return model


def test_nodes_inside_a_moved_folder_are_not_read() -> None:
    model = grown(700)
    with small_nodes():
        root = committed(SHELF.build(model))
        count = len(list(SHELF.rows(root)))
        for target in ("b", "zz/deep"):
            shelf = replace(SHELF, nodes=Nodes(SHELF.core))
            changes = Changes(shelf.nodes, BundleTree(Tree(shelf.nodes, root), files(model)))
            changes.move("a", target)
            with patch.object(Nodes, "_rows", autospec=True, side_effect=Nodes._rows) as read:
                new = shelf.writer().build(changes.pieces())
                assert changes.files() == files(model)
            assert read.call_count < 30 < count / 5
            expected = moved(model, "a", target)
            assert expected is not None
            assert SHELF.holds(committed(new), expected)


def test_a_path_that_becomes_too_long_is_refused() -> None:
    deep = "/".join(["n" * 250] * 15)
    model: Model = {}
    put(model, f"a/{deep}/file", Item())
    changes = Changes(SHELF.nodes, source_of(model))
    changes.move("a", "/".join(["m" * 250] * 3))
    with pytest.raises(InvalidInput, match="at most 4096"):
        list(changes.pieces())
