"""A scan divided at the leaves of an older bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.format.trees import FOLDER, MODELS, SMALL_NODES, Item, Model, Shelf, small_nodes

from sheaf.engine.manifest.tree import Tree
from sheaf.format import keys
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer
from sheaf.transfer.local.base_leaves import ScanPart, parts
from sheaf.transfer.local.scan import scan

SHELF = Shelf.new(SMALL_NODES)


def made(root: Path, model: Model) -> Path:
    """A folder with the paths of a model."""
    for path, item in model.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(exist_ok=True) if item.kind == Kind.FOLDER else place.touch()
    return root


def met(divided: Iterator[ScanPart]) -> tuple[list[str], dict[str, str]]:
    """The paths of all parts, and which path of the older bundle was found beside them."""
    paths, found = list[str](), dict[str, str]()
    for part in divided:
        side = part.side()
        folders, names = side.rows["folder"].to_pylist(), side.rows["name"].to_pylist()
        paths += map(part.batch.path, range(len(part.batch)))
        for row, at in enumerate(side.at.tolist()):
            found |= {part.batch.path(row): f"{folders[at]}/{names[at]}".lstrip("/")} if at >= 0 else {}
    return paths, found


@given(old=MODELS, new=MODELS, rows=st.integers(1, 5))
def test_each_scanned_path_meets_the_row_of_the_same_path(old: Model, new: Model, rows: int) -> None:
    with small_nodes():
        tree = Tree(SHELF.nodes, SHELF.build(old))
    with tempfile.TemporaryDirectory() as tmp:
        root = made(Path(tmp), new)
        everything = [batch.path(row) for batch in scan(root) for row in range(len(batch))]
        paths, found = met(parts(scan(root, batch_rows=rows), tree, rows))
    assert paths == everything
    assert found == {path: path for path in old.keys() & new.keys()}


def test_a_part_has_no_more_rows_than_asked_unless_it_is_a_whole_leaf(tmp_path: Path) -> None:
    root = made(tmp_path, {f"f{number}": Item() for number in range(30)})
    with small_nodes():
        tree = Tree(SHELF.nodes, SHELF.build({"f7": Item()}))
    for base in (None, tree):
        sizes = [len(part.batch) for part in parts(scan(root, batch_rows=7), base, 4)]
        assert max(sizes) == 4 and sum(sizes) == 30


def test_a_damaged_leaf_has_no_rows_and_the_others_have_theirs(tmp_path: Path) -> None:
    model = {f"f{number:02d}": Item(content=number) for number in range(40)}
    shelf = Shelf.new(SMALL_NODES)
    with small_nodes():
        tree = Tree(shelf.nodes, shelf.build(model))
    second = leaves(shelf, tree.root)[1]
    shelf.core.backend.delete(keys.node(second.id))
    _, found = met(parts(scan(made(tmp_path, model)), tree, 100))
    lost = sorted(model)[leaves(shelf, tree.root)[0].rows :][: second.rows]
    assert sorted(found) == sorted(model.keys() - set(lost))


def test_a_damaged_root_is_no_help_and_no_hindrance(tmp_path: Path) -> None:
    shelf = Shelf.new(SMALL_NODES)
    model: Model = {"a": FOLDER, "a/b": Item()}
    with small_nodes():
        root = shelf.build(model)
    shelf.core.backend.delete(keys.node(root.id))
    paths, found = met(parts(scan(made(tmp_path, model)), Tree(shelf.nodes, root), 100))
    assert (paths, found) == (["a", "a/b"], {})


def leaves(shelf: Shelf, pointer: Pointer) -> list[Pointer]:
    """All leaves below a node."""
    if not pointer.level:
        return [pointer]
    return [leaf for child in shelf.nodes.children(pointer) for leaf in leaves(shelf, child)]
