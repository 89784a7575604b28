"""Forwarding addresses: where the chunks of replaced packs are now. A reader's view and gc's view of them.

A gc that was ended while it ran may leave an address that leads nowhere, at any later time. So gc trusts an address only if
the session that wrote it has a record in the store's log. A reader doesn't read that log: it uses any address that leads
to an existing pack, since it verifies the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from sheaf import format as formats
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.errors import Corrupt, NotFound, Unsupported
from sheaf.format import keys
from sheaf.model.records import MovePacks

# The import takes numpy, which only packs that gc has replaced require.
if TYPE_CHECKING:
    from sheaf.format.moved_v1 import Moved

__all__ = ["Erased", "Forwards", "Place", "Trail", "erased", "load_forwards", "sent_to"]

Place = tuple[bytes, int, int]  #: pack, offset, stored length
_HOPS = 8  # the most forwarding addresses to follow; gc writes shorter chains


class Erased(NotFound):
    """The bytes were erased from the store permanently."""

    kind = "erased"


def erased(path: str = "", notice: str = "") -> Erased:
    """Return the error for erased bytes. ``path``: the file; ``notice``: text about the erasure, appended to the message."""
    what = f"'{path}' was" if path else "these bytes were"
    return Erased(f"{what} erased from the store{notice}", "see `sheaf store erased`")


def _folder(pack: bytes) -> str:
    return keys.moved(pack, 0).rpartition("/")[0] + "/"


# -- for readers -------------------------------------------------------------------------------------------------------


class Trail:
    """Finds chunks of packs that do not exist any more. Safe to use from many threads."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._known: dict[bytes, list[Moved]] = {}

    def find(self, pack: bytes, offset: int) -> Place:
        """Find the chunk that gc or an erasure has moved from this pack and offset.

        Raises:
            Erased: the chunk was erased on purpose.
            Corrupt: there is no address that leads to it.
        """
        is_fresh = not self._known
        try:
            return self._search(pack, offset, _HOPS)
        except Corrupt:
            if is_fresh:
                raise
        # The remembered addresses may be older than the last move.
        self._known = {}
        return self._search(pack, offset, _HOPS)

    def is_lost(self, pack: bytes) -> bool:
        """True if a pack is missing and has no forwarding address."""
        backend = self._core.backend
        return backend.stat(keys.pack(pack)) is None and backend.newest(_folder(pack)) is None

    def _search(self, pack: bytes, offset: int, hops: int) -> Place:
        if not hops:
            raise Corrupt(f"pack {pack.hex()} was moved more than {_HOPS} times", "run `sheaf store gc`")
        failure: Corrupt | None = None
        is_erased = False
        for place in self._places(pack, offset):
            if place is None:
                is_erased = True
                continue
            if self._core.backend.stat(keys.pack(place[0])) is not None:
                return place
            try:
                return self._search(place[0], place[1], hops - 1)
            except Erased:
                is_erased = True
            except Corrupt as error:
                failure = failure or error
        if is_erased:
            raise erased()
        raise failure or Corrupt(f"pack {pack.hex()} is missing, and so is its chunk at {offset}")

    def _places(self, pack: bytes, offset: int) -> Iterator[Place | None]:
        addresses = self._addresses(pack)
        if not addresses:
            raise Corrupt(f"pack {pack.hex()} is missing", "run `sheaf store check`")
        for moved in addresses:
            try:
                yield moved.find(offset)
            except KeyError:
                continue

    def _addresses(self, pack: bytes) -> list[Moved]:
        """The forwarding addresses of a pack, newest first."""
        known = self._known
        if pack not in known:
            listed = [stat.key for stat in self._core.backend.list(_folder(pack), sort=True)]
            found = [_loaded(self._core, key) for key in listed]
            known[pack] = [moved for moved in found if moved is not None]
        return known[pack]


def sent_to(core: Core, packs: Iterable[bytes]) -> set[bytes]:
    """The packs whose addresses may lead readers to one of ``packs``, directly or through others.

    Damaged addresses lead nowhere and are left out.
    """
    listed = [stat.key for stat in core.backend.list(keys.MOVED)]
    ways: dict[bytes, set[bytes]] = {}
    for key, moved in zip(listed, core.io.map(lambda key: _readable(core, key), listed), strict=True):
        if moved is not None and (gone := keys.moved_from(key)) is not None:
            for target in moved.packs:
                ways.setdefault(target.tobytes(), set()).add(gone)
    found, ask = set[bytes](), set(packs)
    while ask:
        ask = {gone for target in ask for gone in ways.get(target, ())} - found
        found |= ask
    return found


def _readable(core: Core, key: str) -> Moved | None:
    try:
        return _loaded(core, key)
    except (Corrupt, Unsupported):
        return None


def _loaded(core: Core, key: str) -> Moved | None:
    try:
        return core.load(key, lambda data: formats.decode_moved(data, key))
    except NotFound:
        # It was superseded since it was listed.
        return None


# -- for gc ------------------------------------------------------------------------------------------------------------


class Forwards(Struct, frozen=True):
    """The addresses as of one moment: the valid one of each pack, and the keys of all of each pack, newest first."""

    moved: dict[bytes, Moved]
    records: dict[bytes, list[str]]

    def targets(self, packs: Iterable[bytes]) -> set[bytes]:
        """The packs to which chunks of these were moved, directly or through others."""
        found: set[bytes] = set()
        ask = set(packs) & self.moved.keys()
        while ask:
            targets = {pack.tobytes() for gone in ask for pack in self.moved[gone].packs}
            ask = (targets - found) & self.moved.keys()
            found |= targets
        return found

    def sources(self, packs: Iterable[bytes]) -> set[bytes]:
        """The packs whose addresses lead to one of these, directly or through others."""
        targets, found = set(packs), set[bytes]()
        while True:
            more = {
                pack
                for pack, moved in self.moved.items()
                if pack not in found and not targets.isdisjoint(target.tobytes() for target in moved.packs)
            }
            if not more:
                return found
            found |= more
            targets |= more

    def follow(self, pack: bytes, offset: int) -> Place | None:
        """Find where a chunk of a moved pack is now; None if it was erased.

        Raises NotFound if it was not copied when it was moved, Corrupt if addresses lead in circles.
        """
        place: Place | None = (pack, offset, 0)
        been = set[bytes]()
        while place is not None and place[0] in self.moved:
            if place[0] in been:
                raise Corrupt(
                    f"pack {place[0].hex()} has a forwarding address that leads back to it", "run `sheaf store check`"
                )
            been.add(place[0])
            try:
                place = self.moved[place[0]].find(place[1])
            except KeyError:
                raise NotFound(f"the chunk at {offset} of pack {pack.hex()} was not copied when it was moved") from None
        if place is not None and place[0] == pack:
            raise NotFound(f"pack {pack.hex()} was not moved")
        return place

    def next_number(self, pack: bytes) -> int:
        """A number that no address of the pack has had: older addresses are deleted before the newest one is."""
        listed = self.records.get(pack)
        return keys.record_number(listed[0]) + 1 if listed else 0


def load_forwards(core: Core) -> Forwards:
    """Load every forwarding address, and determine the valid one of each pack: that of the session that committed last."""
    records: dict[bytes, list[str]] = {}
    for stat in core.backend.list(keys.MOVED, sort=True):
        if (pack := keys.moved_from(stat.key)) is not None:
            records.setdefault(pack, []).append(stat.key)
    if not records:
        return Forwards({}, {})
    order = _committed(core)
    listed = [(pack, key) for pack, found in records.items() for key in found]
    best: dict[bytes, tuple[int, Moved]] = {}
    for (pack, _), moved in zip(listed, core.io.map(lambda item: _loaded(core, item[1]), listed), strict=True):
        rank = order.get((moved.session, pack)) if moved else None
        if moved is not None and rank is not None and (pack not in best or best[pack][0] < rank):
            best[pack] = rank, moved
    return Forwards({pack: moved for pack, (_, moved) in best.items()}, records)


def _committed(core: Core) -> dict[tuple[str, bytes], int]:
    """The number of the record that committed it, by session and pack that it moved."""
    return {
        (op.session, bytes.fromhex(pack)): record.n
        for record in store_log(core).records()
        for op in record.ops
        if isinstance(op, MovePacks)
        for pack in op.packs
    }
