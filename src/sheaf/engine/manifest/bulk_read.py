"""Read many whole files by ranges of packs, for programs that read a bundle from end to end."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pyarrow as pa

from sheaf.engine.chunks.bulk.gather import Span, is_gathered
from sheaf.engine.chunks.chunk_reader import Contents
from sheaf.engine.manifest.tree import entry_at
from sheaf.fork import Lock

__all__ = ["Bulk"]

_SPAN = Span(40 << 20, 1 << 20, 80 << 20)  # a whole pack in one request, even if some of it is not needed
_SMALL = 32 << 10  # average bytes of a file up to which one thread at a time extracts files


class Bulk:
    """Reads whole files of a store. Thread-safe, but not for use on threads of ``Core.io``."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._turn = Lock()

    def read(self, batch: pa.RecordBatch) -> list[bytes]:
        """Return the verified content of each row of a manifest; all must be files.

        Raises Corrupt, Unavailable, and Unsupported for external bytes.
        """
        whole = [b""] * batch.num_rows
        size = batch["size"].to_numpy()
        for gathered in self._contents.gather(batch, _SPAN).results():
            # Several threads that extract small files only wait for Python's lock, twice a file.
            with self._turn if sum(map(len, gathered.ranges)) < _SMALL * batch.num_rows else nullcontext():
                for row, data in self._contents.gathered_files(batch, gathered):
                    whole[row] = bytes(data)
        for row in np.flatnonzero(~is_gathered(batch) & (size > 0)).tolist():
            whole[row] = self._contents.read(entry_at(batch, row))
        return whole
