"""Changes on top of a tree, and what differs between two trees, against the same done with dictionaries."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

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
    committed,
    edits,
    ordered,
    remove,
    shape,
    small_nodes,
)

from sheaf.engine.manifest.comparison.tree_diff import diff_trees
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_edit import BundleTree, Changes
from sheaf.errors import InvalidInput, NotFound
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.model.paths import ancestors, order_key, split

SHELF = Shelf.new(SMALL_NODES)


def entry_of(path: str, item: Item) -> ManifestEntry:
    """The entry that stands for an item."""
    return next(Tree(SHELF.nodes, SHELF.build({path: item})).entries())


def fits(model: Model, path: str, item: Item) -> bool:
    """Whether an entry may be set: folders and others never replace each other."""
    if any(model.get(above, FOLDER).kind != Kind.FOLDER for above in ancestors(path)):
        return False
    return path not in model or (model[path].kind == Kind.FOLDER) == (item.kind == Kind.FOLDER)


def put(model: Model, path: str, item: Item) -> None:
    """Set an entry and the folders above it, which get its mtime."""
    for above in ancestors(path):
        model.setdefault(above, Item(Kind.FOLDER, 0, 0o755, item.mtime))
    model[path] = item


@given(model=MODELS, data=st.data())
def test_changes_do_what_a_dictionary_would(model: Model, data: st.DataObject) -> None:
    after = dict(model)
    with small_nodes():
        root = SHELF.build(model)
        changes = Changes(SHELF.nodes, BundleTree(Tree(SHELF.nodes, root), _files(model)))
        for _ in range(data.draw(st.integers(1, 8))):
            path = data.draw(st.sampled_from(sorted(after)) | PATHS if after else PATHS)
            item = data.draw(st.none() | ITEMS)
            try:
                _change(changes, path, item, copied=data.draw(st.booleans()))
            except NotFound:
                assert item is None
                assert path not in after
            except InvalidInput:
                assert item is not None
                assert not fits(after, path, item)
            else:
                assert item is None or fits(after, path, item)
                remove(after, path) if item is None else put(after, path, item)
        new = SHELF.writer().build(changes.pieces())
        assert changes.files() == _files(after)
    found = {entry.path: entry for entry in Tree(SHELF.nodes, new).entries()}
    assert list(found) == ordered(after)
    assert all(found[path].content == entry_of(path, item).content for path, item in after.items())


def _files(model: Model) -> int:
    return sum(item.kind != Kind.FOLDER for item in model.values())


def _change(changes: Changes, path: str, item: Item | None, *, copied: bool) -> None:
    if item is None:
        changes.remove(path)
    elif copied:
        changes.put_row(batch_of({path: item}))
    else:
        changes.put(entry_of(path, item))


def test_a_file_never_takes_the_place_of_a_folder_by_reference() -> None:
    model = {"a": FOLDER, "a/b": Item(content=1), "f": Item(content=2)}
    for path, item in (("a", Item(content=3)), ("f/x", Item(content=3)), ("f", FOLDER)):
        changes = Changes(SHELF.nodes, BundleTree(Tree(SHELF.nodes, SHELF.build(model)), 2))
        try:
            changes.put_row(batch_of({path: item}))
        except InvalidInput:
            continue
        raise AssertionError(f"{path} was taken")


# -- differences -------------------------------------------------------------------------------------------------------


def versioned(item: Item) -> tuple[Any, ...]:
    """What of an item is part of a version."""
    return item.kind, item.content * (item.kind != Kind.FOLDER), item.kind == Kind.FILE and item.mode & 0o100


def naive(old: Model, new: Model) -> list[tuple[str, str]]:
    """(how, path) of what differs, in order."""
    found = []
    for path in ordered({**old, **new}):
        if path not in new:
            found.append(("deleted", path))
        elif path not in old:
            found.append(("added", path))
        elif versioned(old[path]) != versioned(new[path]):
            found.append(("modified", path))
    return found


@given(old=MODELS, data=st.data())
def test_a_diff_is_that_of_dictionaries(old: Model, data: st.DataObject) -> None:
    new = data.draw(st.one_of(edits(old), MODELS))
    with small_nodes():
        left, right = Tree(SHELF.nodes, SHELF.build(old)), Tree(SHELF.nodes, SHELF.build(new))
    found = list(diff_trees(left, right, renames=False))
    assert [(difference.how, difference.path) for difference in found] == naive(old, new)
    assert all((d.old is None) == (d.how == "added") and (d.new is None) == (d.how == "deleted") for d in found)


@given(old=MODELS, data=st.data())
def test_renames_are_pairs_of_a_deleted_and_an_added_file(old: Model, data: st.DataObject) -> None:
    new = data.draw(edits(old))
    with small_nodes():
        left, right = Tree(SHELF.nodes, SHELF.build(old)), Tree(SHELF.nodes, SHELF.build(new))
    undone: list[tuple[str, str]] = []
    for difference in diff_trees(left, right):
        if difference.how != "renamed":
            undone.append((difference.how, difference.path))
            continue
        before, after = difference.old, difference.new
        assert before is not None
        assert after is not None
        assert (before.kind, before.content) == (after.kind, after.content)
        assert before.kind != Kind.FOLDER
        undone += [("deleted", before.path), ("added", after.path)]
    assert sorted(undone) == sorted(naive(old, new))


@given(old=MODELS, data=st.data())
def test_equal_nodes_are_never_opened(old: Model, data: st.DataObject) -> None:
    new = data.draw(edits(old))
    with small_nodes():
        a = SHELF.build(old)
        b = SHELF.writer().edit(committed(a), _edit(old, new))
    if shape(a) == shape(b):
        fresh = Shelf(SHELF.core, type(SHELF.nodes)(SHELF.core))
        with patch.object(Nodes, "_load", side_effect=AssertionError("a node is opened")):
            assert not list(diff_trees(Tree(fresh.nodes, a), Tree(fresh.nodes, b)))


def _edit(old: Model, new: Model) -> list[tuple[bytes, Any]]:
    paths = [path for path in {**old, **new} if old.get(path) != new.get(path)]
    keyed = sorted((order_key(*split(path)), path) for path in paths)
    return [(key, batch_of({path: new[path]}) if path in new else None) for key, path in keyed]
