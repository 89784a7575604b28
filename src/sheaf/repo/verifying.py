"""Reading a bundle whole, to be sure of it."""

from __future__ import annotations

from functools import partial

import pyarrow as pa
from blake3 import blake3

from sheaf.engine.contents import Contents, Erased
from sheaf.engine.tree import Tree, entry_at
from sheaf.errors import Corrupt
from sheaf.model.entries import Entry, Kind
from sheaf.repo.records import Verified
from sheaf.transfer.materialise import paths_of
from sheaf.transfer.progress import Meter, Progress

__all__ = ["verify"]


def verify(tree: Tree, contents: Contents, files: int, size: int, progress: Progress | None) -> Verified:
    """Check every file against its content hash; ``files`` and ``size`` are what there should be. Raises Corrupt."""
    meter = Meter(progress, "verify")
    meter.add_total(files=files, bytes=size)
    found, read = 0, 0
    erased: list[str] = []
    for batch in tree.batches():
        gone: list[int] = []
        single: set[int] = set()
        for row, data in contents.chunks(batch, gone.append):
            single.add(row)
            meter.add(files=1, bytes=len(data))
            read += len(data)
        found += len(single)
        erased += paths_of(batch.take(pa.array(gone, pa.int64())))
        seen = single.union(gone)
        others = [row for row, kind in enumerate(batch["kind"].to_pylist()) if kind != Kind.FOLDER and row not in seen]
        for entry in map(partial(entry_at, batch), others):
            try:
                read += _verify_file(contents, entry, meter)
                found += 1
            except Erased:
                erased.append(entry.path)
    meter.finish()
    return Verified(found, read, tuple(erased))


def _verify_file(contents: Contents, entry: Entry, meter: Meter) -> int:
    if entry.kind == Kind.SYMLINK:
        if blake3((entry.target or "").encode()).digest() != entry.content:
            raise Corrupt(f"symlink '{entry.path}' leads elsewhere than its hash says", "run `sheaf store check`")
        meter.add_file()
        return 0
    whole, size = blake3(), 0
    for block in contents.blocks(entry):
        whole.update(block)
        size += len(block)
        meter.add_bytes(len(block))
    if whole.digest() != entry.content:
        raise Corrupt(f"'{entry.path}' is damaged: its bytes don't match its content hash", "run `sheaf store check`")
    meter.add_file()
    return size
