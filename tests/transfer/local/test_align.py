"""The rows of an older bundle beside those of a scan."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tests.format.trees import MODELS, SMALL_NODES, Item, Model, Shelf, batch_of, small_nodes

from sheaf.engine.manifest.tree import Tree
from sheaf.errors import Corrupt
from sheaf.model.entries import Kind
from sheaf.transfer.local.align import Cursor
from sheaf.transfer.local.scan import scan
from sheaf.transfer.upload import _readable

SHELF = Shelf.new(SMALL_NODES)


@given(old=MODELS, new=MODELS, rows=st.integers(1, 5))
def test_each_scanned_path_meets_the_row_of_the_same_path(old: Model, new: Model, rows: int) -> None:
    with small_nodes():
        tree = Tree(SHELF.nodes, SHELF.build(old))
    cursor, met = Cursor(tree.batches()), dict[str, str]()
    with tempfile.TemporaryDirectory() as tmp:
        for path, item in new.items():
            place = Path(tmp, path)
            place.mkdir() if item.kind == Kind.FOLDER else place.touch()
        for batch in scan(Path(tmp), batch_rows=rows):
            side = cursor.match(batch)
            folders, names = side.rows["folder"].to_pylist(), side.rows["name"].to_pylist()
            for row, at in enumerate(side.at.tolist()):
                met |= {batch.path(row): f"{folders[at]}/{names[at]}".lstrip("/")} if at >= 0 else {}
    assert met == {path: path for path in old.keys() & new.keys()}


class Damaged(Tree):
    """A tree whose second leaf can't be read."""

    def batches(self, folder: str = "", *, recursive: bool = True) -> Iterator[pa.RecordBatch]:
        yield batch_of({"a": Item(), "b": Item()})
        raise Corrupt("the second leaf is damaged")


def test_damage_in_the_older_bundle_ends_its_rows_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / name).touch()
    cursor = Cursor(_readable(Damaged(SHELF.nodes, SHELF.build({}))))
    assert [cursor.match(batch).at.tolist() for batch in scan(tmp_path, batch_rows=2)] == [[0, 1], [-1, -1]]
