"""Join the splits of a diamond into one manifest, and decide which of them are in it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from sheaf.engine.commit.diamonds import DiamondEnd, Mode, Splits, merge_splits
from sheaf.engine.commit.writer import StoreWriter
from sheaf.engine.core import Core
from sheaf.engine.manifest.node_store import Nodes
from sheaf.engine.manifest.rows import row_with_path
from sheaf.engine.manifest.tree import Tree
from sheaf.engine.manifest.tree_edit import BundleTree, Changes
from sheaf.errors import Conflict, NotFound, Refused
from sheaf.model.entries import Kind
from sheaf.model.nodes import Pointer

__all__ = ["close_diamond", "ensure_not_canceled"]


def close_diamond(
    core: Core, nodes: Nodes, splits: Splits, store: StoreWriter, mode: Mode, tag: str, *, allow_empty: bool
) -> tuple[Pointer, int]:
    """Decide which splits are in, unless that was decided, and join them; returns the root and the number of files.

    They are joined first, since the decision stays: splits that can't be joined decide nothing.

    Raises:
        NotFound: no split is finished.
        Refused: the splits have no files, without ``allow_empty``.
        Conflict: the diamond was canceled, or the splits conflict and ``mode`` forbids it.
    """
    end = splits.end()
    joined = None
    if end is None:
        wanted = _ending(core, splits, mode, tag)
        joined = _joined(nodes, splits, store, wanted)
        if not (joined[1] or allow_empty):
            raise Refused(
                f"the splits of diamond {splits.id} have no files", "to commit an empty bundle, pass --allow-empty"
            )
        end = splits.decide(wanted)
        ensure_not_canceled(splits.id, end)
        joined = joined if end == wanted else None
    return joined or _joined(nodes, splits, store, end)


def ensure_not_canceled(id: str, end: DiamondEnd | None) -> None:
    """Raise Conflict if the diamond ended by being canceled."""
    if end is not None and end.state == "canceled":
        raise Conflict(f"diamond {id} was canceled", "begin a new one with `sheaf diamond initialize`")


def _ending(core: Core, splits: Splits, mode: Mode, tag: str) -> DiamondEnd:
    done = splits.done()
    if not done:
        raise NotFound(f"diamond {splits.id} has no finished split", "add one with `sheaf diamond split add`")
    return DiamondEnd("done", core.now(), mode, tuple(split.generation for split in done), tag)


def _joined(nodes: Nodes, splits: Splits, store: StoreWriter, end: DiamondEnd) -> tuple[Pointer, int]:
    files = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal files
        for batch in merged.rows():
            files += _files(batch)
            yield batch

    merged = merge_splits(nodes, splits.joined(end), end.mode)
    root = store.build(counted())
    if not merged.losers:
        return root, files
    changes = Changes(nodes, BundleTree(Tree(nodes, root), files))
    for path, row in merged.losers:
        # The folders of losers are nobody's, so their time must not depend on which loser comes first.
        changes.put_row(row_with_path(row, path), folder_mtime=0)
    return store.build(changes.pieces()), changes.files()


def _files(batch: pa.RecordBatch) -> int:
    return sum(kind != Kind.FOLDER for kind in batch["kind"].to_pylist())
