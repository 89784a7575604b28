"""Record which packs were read and found sound, and when, so that a check resumes, or reads other packs each time.

It is kept in the user's cache, under one key: the time (nanoseconds since 1970) at which an unfinished check began, or
0; then for each pack its id and the time when it was read; then the BLAKE3 hash of all that. Times are those of this
machine's clock, and only decide what is read first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from blake3 import blake3

from sheaf.engine.object_cache import Cache
from sheaf.format.columns import HASH

__all__ = ["Readings"]

_KEY = "read-data"
_ROW = np.dtype([("pack", HASH), ("time", "<i8")])
_SAVE_EVERY = 64  # packs, or a fiftieth of those recorded: a killed check has to read so many again


@dataclass(slots=True)
class Readings:
    """The times at which packs were read. ``begun``: when an unfinished check of all packs began, 0 for none."""

    cache: Cache
    begun: int = 0
    times: dict[bytes, int] = field(default_factory=dict)
    _unsaved: int = 0

    @classmethod
    def load(cls, cache: Cache) -> Readings:
        """Load the record; it is empty if there is none or it is damaged."""
        data = cache.get(_KEY) or b""
        body = data[:-32]
        if len(body) < 8 or (len(body) - 8) % _ROW.itemsize or blake3(body).digest() != data[-32:]:
            return cls(cache)
        rows = np.frombuffer(body, _ROW, offset=8)
        packs = (pack.tobytes() for pack in rows["pack"])
        return cls(cache, int.from_bytes(body[:8], "little"), dict(zip(packs, rows["time"].tolist(), strict=True)))

    def save(self) -> None:
        """Save the record. A cache that can't be written is not an error."""
        rows = np.empty(len(self.times), _ROW)
        rows["pack"] = np.frombuffer(b"".join(self.times), np.uint8).reshape(-1, 32)
        rows["time"] = list(self.times.values())
        body = self.begun.to_bytes(8, "little") + rows.tobytes()
        self.cache.put(_KEY, body + blake3(body).digest())
        self._unsaved = 0

    def note(self, pack: bytes, now: int) -> None:
        """Record that a pack was read and is sound."""
        self.times[pack] = now
        self._unsaved += 1
        if self._unsaved >= max(_SAVE_EVERY, len(self.times) // 50):
            self.save()

    def forget_but(self, packs: Iterable[bytes]) -> None:
        """Forget packs that no longer exist."""
        self.times = {pack: self.times[pack] for pack in packs if pack in self.times}

    def due(self, packs: Iterable[bytes], share: float, seed: str) -> set[bytes]:
        """Return the part of these packs that was read longest ago; ``seed`` orders those that were never read."""
        turn = sorted(packs, key=lambda pack: (self.times.get(pack, 0), blake3(seed.encode() + pack).digest()))
        return set(turn[: -(-len(turn) * round(share * 10_000) // 10_000)])

    def done(self) -> set[bytes]:
        """Return the packs that the unfinished check has read already."""
        return {pack for pack, time in self.times.items() if self.begun and time >= self.begun}
