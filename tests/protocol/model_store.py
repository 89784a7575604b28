"""What a store is to the model: a few packs of one or two chunks, one repo, and what anybody can see of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Row = tuple[str, str]  #: pack and chunk, what a bundle needs


class Pack(NamedTuple):
    """An object that holds chunks."""

    name: str
    chunks: frozenset[str]


class Generation(NamedTuple):
    """A list of what a gc has condemned; ``heads``: the newest record when it marked."""

    name: str
    dead: frozenset[str]
    moving: frozenset[str]
    heads: int


class Address(NamedTuple):
    """Where the chunks of a pack went, as a session says."""

    pack: str
    session: str
    to: frozenset[Row]


class Record(NamedTuple):
    """A commit: ``add``, ``delete``, ``restore``, ``void``, ``move``; of a bundle or session of this name."""

    op: str
    name: str
    row: Row = ("", "")
    packs: frozenset[str] = frozenset()


class World(NamedTuple):
    """A store at one moment. Of what is ``fresh`` a listing that is late shows nothing yet; ``late``: writes under way."""

    packs: frozenset[Pack]
    indexed: frozenset[str]
    log: tuple[Record, ...]
    sessions: frozenset[str] = frozenset()
    condemned: frozenset[Generation] = frozenset()
    moved: frozenset[Address] = frozenset()
    fresh: frozenset[str] = frozenset()
    late: frozenset[tuple[int, Record]] = frozenset()

    def has(self, pack: str) -> bool:
        """Whether a pack is there."""
        return any(found.name == pack for found in self.packs)

    def append(self, record: Record) -> World:
        """With one more record."""
        return self._replace(log=(*self.log, record))

    def is_void(self, session: str) -> bool:
        """Whether somebody has ended a session by a record."""
        return any(record.op == "void" and record.name == session for record in self.log)

    def alive(self, heads: int | None = None) -> dict[str, Row]:
        """The bundles that lived as of a record, or live now."""
        found: dict[str, Row] = {}
        for record in self.log[:heads]:
            if record.op in ("add", "restore"):
                found[record.name] = record.row
            elif record.op == "delete":
                found.pop(record.name, None)
        return found

    def since(self, heads: int) -> set[Row]:
        """What any bundle needs or has needed that has lived at any moment since."""
        added = {record.row for record in self.log[heads:] if record.op in ("add", "restore")}
        return {*self.alive(heads).values(), *added, *self.alive().values()}

    def can_read(self, row: Row, seen: frozenset[str] = frozenset()) -> bool:
        """Whether a reader finds a chunk, who takes any address that leads to a pack that is there."""
        pack, chunk = row
        if any(found.name == pack and chunk in found.chunks for found in self.packs):
            return True
        ways = (place for address in self.moved if address.pack == pack for place in address.to if place[1] == chunk)
        return any(place[0] not in seen and self.can_read(place, seen | {pack}) for place in ways)

    def lost(self) -> str:
        """A bundle that lives and can't be read, or nothing."""
        return next((name for name, row in sorted(self.alive().items()) if not self.can_read(row)), "")


@dataclass(frozen=True, slots=True)
class Forwards:
    """What gc believes of addresses: of each pack the one that was committed last."""

    to: tuple[tuple[str, frozenset[Row]], ...]

    def final(self, row: Row) -> Row:
        """Where a chunk is now."""
        for _ in range(len(self.to) + 1):
            row = next((place for pack, to in self.to if pack == row[0] for place in to if place[1] == row[1]), row)
        return row

    def all(self, row: Row) -> Iterator[Row]:
        """Every place that a row leads to, the first and the last and those between."""
        while True:
            yield row
            after = next((place for pack, to in self.to if pack == row[0] for place in to if place[1] == row[1]), row)
            if after == row:
                return
            row = after


def load_forwards(world: World, *, only_committed: bool) -> Forwards:
    """As of now. Where anything counts, the last that anybody wrote wins."""
    ranks = {
        (record.name, pack): n for n, record in enumerate(world.log) if record.op == "move" for pack in record.packs
    }
    best: dict[str, tuple[int, str, frozenset[Row]]] = {}
    for pack, session, to in world.moved:
        rank = ranks.get((session, pack), -1 if only_committed else len(world.log))
        if rank >= 0 and (pack not in best or best[pack][:2] < (rank, session)):
            best[pack] = rank, session, to
    return Forwards(tuple((pack, to) for pack, (_, _, to) in sorted(best.items())))
