"""Which packs were read and found sound, and when: so that a check goes on where it was stopped, or takes turns.

Kept in the cache of whoever checks, under one key: the moment (nanoseconds since 1970) at which an unfinished check
began, or 0; then for each pack its id and the moment of its reading; then the BLAKE3 of all that. Times are of this
machine's clock, and decide only what is read first.
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
_SAVE_EVERY = 64  # packs, or a fiftieth of what is known: a kill costs that much to read again


@dataclass(slots=True)
class Readings:
    """``begun``: when a check of everything began that has not ended."""

    cache: Cache
    begun: int = 0
    times: dict[bytes, int] = field(default_factory=dict)
    _unsaved: int = 0

    @classmethod
    def load(cls, cache: Cache) -> Readings:
        """What is known; nothing, if what is there is not to be believed."""
        data = cache.get(_KEY) or b""
        body = data[:-32]
        if len(body) < 8 or (len(body) - 8) % _ROW.itemsize or blake3(body).digest() != data[-32:]:
            return cls(cache)
        rows = np.frombuffer(body, _ROW, offset=8)
        packs = (pack.tobytes() for pack in rows["pack"])
        return cls(cache, int.from_bytes(body[:8], "little"), dict(zip(packs, rows["time"].tolist(), strict=True)))

    def save(self) -> None:
        """Keep it. A cache that can't be written to is no error."""
        rows = np.empty(len(self.times), _ROW)
        rows["pack"] = np.frombuffer(b"".join(self.times), np.uint8).reshape(-1, 32)
        rows["time"] = list(self.times.values())
        body = self.begun.to_bytes(8, "little") + rows.tobytes()
        self.cache.put(_KEY, body + blake3(body).digest())
        self._unsaved = 0

    def note(self, pack: bytes, now: int) -> None:
        """A pack was read and is sound."""
        self.times[pack] = now
        self._unsaved += 1
        if self._unsaved >= max(_SAVE_EVERY, len(self.times) // 50):
            self.save()

    def forget_but(self, packs: Iterable[bytes]) -> None:
        """Packs that are no more need no memory."""
        self.times = {pack: self.times[pack] for pack in packs if pack in self.times}

    def due(self, packs: Iterable[bytes], share: float, seed: str) -> set[bytes]:
        """The part of these packs that was not read for longest; of those never read, any, as ``seed`` has it."""
        turn = sorted(packs, key=lambda pack: (self.times.get(pack, 0), blake3(seed.encode() + pack).digest()))
        return set(turn[: -(-len(turn) * round(share * 10_000) // 10_000)])

    def done(self) -> set[bytes]:
        """What the unfinished check has read already."""
        return {pack for pack, time in self.times.items() if self.begun and time >= self.begun}
