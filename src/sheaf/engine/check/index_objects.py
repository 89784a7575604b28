"""Check the dedup index: its objects are sound, and it lists every chunk that bundles need. Losing it costs space only."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from blake3 import blake3

from sheaf.engine.check.report import FAULTS, CheckReport, ReportProgress
from sheaf.engine.chunks.checked_index import Listed
from sheaf.engine.chunks.pack_table import load_table
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, NotFound, Unsupported
from sheaf.format import keys
from sheaf.format.columns import Array, leading
from sheaf.format.index_v1 import Segment, decode_index
from sheaf.format.pack_v1 import PackTable
from sheaf.format.session_v1 import decode_condemned

__all__ = ["Indexed", "check_index", "going", "load_index"]

_HELD = 1 << 22  # beginnings of hashes in memory; if there are more, only every second is kept, and so on


@dataclass(slots=True)
class Indexed:
    """The beginnings of the hashes that the index lists (one in ``every``), and the chunks of packs that it doesn't list.

    ``but``: packs that may be missing in the index, because gc is deleting or replacing them.
    """

    but: frozenset[bytes] = frozenset()
    every: int = 1
    absent: int = 0
    packs: set[bytes] = field(default_factory=set)
    _named: set[bytes] = field(default_factory=set)
    _leads: Array = field(default_factory=lambda: np.empty(0, np.uint64))

    def add(self, segment: Segment) -> None:
        """Add an index object."""
        self._named |= {pack.tobytes() for pack in segment.packs}
        self._leads = np.union1d(self._leads, self._sampled(segment.lead))
        while len(self._leads) > _HELD:
            self.every *= 2
            self._leads = self._sampled(self._leads)

    def names(self, pack: bytes) -> bool:
        """True if an index object lists the pack."""
        return pack in self._named

    def compare(self, table: PackTable, pack: bytes) -> None:
        """Count the chunks of a pack that are not listed."""
        if pack in self.but:
            return
        absent = int(np.count_nonzero(~np.isin(self._sampled(leading(table.hashes)), self._leads)))
        if absent:
            self.absent += absent * self.every
            self.packs.add(pack)

    def _sampled(self, leads: Array) -> Array:
        sampled: Array = leads[leads % np.uint64(self.every) == 0]
        return sampled

    def on_progress(self, report: CheckReport) -> None:
        """Report chunks that are not listed as a problem."""
        if self.packs:
            about = "" if self.every == 1 else "about "
            what = (
                f"{about}{self.absent} chunks in {len(self.packs)} packs are not in the index and may be stored twice"
            )
            report.add("index", keys.INDEX, what, repairable=True)


def check_index(core: Core, report: CheckReport, on_progress: ReportProgress, indexed: Indexed | None = None) -> None:
    """Check every index object, and add the sound ones to ``indexed``."""
    for done, stat in enumerate(core.backend.list(keys.INDEX)):
        on_progress("index", done)
        report.count("index objects")
        try:
            segment = load_index(core, stat.key)
            _believe(core, stat.key, segment, indexed.but if indexed is not None else frozenset())
        except NotFound:
            # The object was merged and deleted since it was listed.
            continue
        except (Corrupt, Unsupported) as error:
            report.add("index", stat.key, f"{stat.key} is damaged: {error.message}", repairable=True)
            continue
        if indexed is not None:
            indexed.add(segment)


def going(core: Core) -> frozenset[bytes]:
    """Return the packs that gc is deleting or replacing."""
    packs: set[bytes] = set()
    for stat in core.backend.list(keys.CONDEMNED):
        # The generation may have ended since; a damaged list is reported by another part of the check.
        with suppress(*FAULTS):
            condemned = decode_condemned(get_object(core.backend, stat.key), stat.key)
            packs |= condemned.dead_packs | condemned.moving_packs
    return frozenset(packs)


def _believe(core: Core, key: str, segment: Segment, but: frozenset[bytes]) -> None:
    """Raise Corrupt if a pack lacks a chunk that is listed for it, NotFound if gc is replacing the object at this moment."""
    wrong = set(Listed(segment, but, partial(load_table, core)).wrong()) - but
    if wrong and wrong - going(core):
        get_object(core.backend, key)
        raise Corrupt(f"pack {min(wrong).hex()} does not contain the chunks listed for it")


def load_index(core: Core, key: str) -> Segment:
    """Read an index object from the store, without a cache. Raises NotFound, Corrupt, Unsupported."""
    data = get_object(core.backend, key)
    if blake3(data).hexdigest() != key.rpartition("-")[2]:
        raise Corrupt("its bytes don't match its name")
    segment = decode_index(data, key)[1]
    if (segment.lead[1:] < segment.lead[:-1]).any():
        raise Corrupt("its rows are not sorted, so lookups miss them")
    return segment
