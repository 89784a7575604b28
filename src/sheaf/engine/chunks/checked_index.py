"""An index object whose packs are verified: before a pack is used for the first time, its own table must agree.

So a wrong index object, or a missing pack, costs space and nothing else: chunks that can't be confirmed are stored
again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sheaf.errors import Corrupt, NotFound, Unsupported
from sheaf.format.columns import Hashes
from sheaf.format.index_v1 import Segment
from sheaf.format.pack_v1 import PackTable

__all__ = ["Listed", "LoadTable"]

LoadTable = Callable[[bytes, int], PackTable]  #: loads the table of a pack, given the expected number of rows

Ints = npt.NDArray[np.int64]


class Listed:
    """One index object. Thread-safe: at worst two threads verify the same pack."""

    def __init__(self, segment: Segment, avoid: frozenset[bytes], load: LoadTable) -> None:
        self.segment = segment
        self._load = load
        self._believed = {n: False for n, pack in enumerate(segment.packs) if pack.tobytes() in avoid}

    def find(self, wanted: Hashes, lead: npt.NDArray[np.uint64]) -> Ints:
        """Return for each wanted hash its row, or -1. ``lead``: see :meth:`Segment.find`."""
        row = self.segment.find(wanted, lead)
        hit = np.flatnonzero(row >= 0)
        numbers = self.segment.pack[row[hit]]
        for number in np.unique(numbers).tolist():
            if not self._is_believed(number):
                row[hit[numbers == number]] = -1
        return row

    def wrong(self) -> list[bytes]:
        """Return the packs that don't contain what is listed for them."""
        return [pack.tobytes() for n, pack in enumerate(self.segment.packs) if not self._is_believed(n)]

    def _is_believed(self, number: int) -> bool:
        if number not in self._believed:
            self._believed[number] = self._agrees(number)
        return self._believed[number]

    def _agrees(self, number: int) -> bool:
        """True if the table of a pack has every chunk that is listed for it, with the same hash, offset and length."""
        s = self.segment
        rows = np.flatnonzero(s.pack == number)
        try:
            table = self._load(s.packs[number].tobytes(), len(rows))
        except (NotFound, Corrupt, Unsupported):
            return False
        at = np.searchsorted(table.offsets, s.offset[rows])
        at[at == len(table.offsets)] = 0
        same = (table.offsets[at] == s.offset[rows]) & (table.stored[at] == s.stored[rows])
        return bool(len(table.offsets) and (same & (table.hashes[at] == s.hashes[rows]).all(axis=1)).all())
