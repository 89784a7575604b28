"""Read the files of a batch that are gathered: together, or chunk by chunk where that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa

from sheaf.engine.chunks.bulk.gather import Gathered, Gathering, is_gathered, slices
from sheaf.engine.chunks.bulk.salvage import ChunkSource, salvage
from sheaf.engine.chunks.wants import OnDamaged, OnErased
from sheaf.errors import SheafError
from sheaf.storage.port import Buffer

__all__ = ["FileSource", "read_files", "read_gathered"]


class FileSource(ChunkSource, Protocol):
    """Fetches chunks and ranges of packs; :class:`sheaf.engine.chunks.chunk_reader.Contents` is one."""

    def gather(self, batch: pa.RecordBatch) -> Gathering:
        """Begin to fetch the bytes of files that are read whole."""


def read_files(
    source: FileSource, batch: pa.RecordBatch, on_erased: OnErased | None = None, on_damaged: OnDamaged | None = None
) -> Iterator[tuple[int, Buffer]]:
    """Yield (row, verified content) of the files of a batch that are read whole; the next ones are fetched concurrently."""
    pending: deque[tuple[int, pa.RecordBatch, Gathering]] = deque()
    for start, end in [*slices(np.where(is_gathered(batch), batch["size"].to_numpy(), 0)), (0, 0)]:
        if start < end:
            part = batch.slice(start, end - start)
            pending.append((start, part, source.gather(part)))
        # The next files are fetched while these are used.
        while pending and (len(pending) > 1 or start == end):
            first, part, gathering = pending.popleft()
            told = [callback and partial(_report, callback, first) for callback in (on_erased, on_damaged)]
            for gathered in gathering.results():
                for row, data in read_gathered(source, part, gathered, None, *told):
                    yield first + row, data


def read_gathered(
    source: ChunkSource,
    batch: pa.RecordBatch,
    gathered: Gathered,
    rows: Sequence[int] | None = None,
    on_erased: OnErased | None = None,
    on_damaged: OnDamaged | None = None,
) -> Iterator[tuple[int, Buffer]]:
    """Yield (row, verified content) of files that were gathered; those that were not are read chunk by chunk."""
    lost: list[int] = []
    for row in [*gathered.frames, *gathered.lost] if rows is None else rows:
        data = gathered.file(row) if row in gathered.frames else None
        if data is None:
            lost.append(row)
        else:
            yield row, data
    if lost:
        yield from salvage(source, batch, lost, on_erased, on_damaged)


def _report(callback: Callable[..., object], start: int, row: int, *error: SheafError) -> None:
    """Call a callback with a row of a slice that begins at row ``start``."""
    callback(start + row, *error)
