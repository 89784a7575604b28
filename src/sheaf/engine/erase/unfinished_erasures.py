"""Erasures that replace contents and were interrupted.

When no bundle has a content any more, nothing tells which chunks it has. So these are recorded before, and the next
erasure continues with them. The record belongs to one location, and is deleted at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from sheaf.engine.core import Core
from sheaf.engine.erase.locate import Finder
from sheaf.engine.objects import get_object
from sheaf.format import keys
from sheaf.format.session_v1 import Erasing, seal, unseal

__all__ = ["NOTHING", "UnfinishedErasures", "begin", "resume", "unfinished"]


@dataclass(frozen=True, slots=True)
class UnfinishedErasures:
    """Erasures that were started and are unfinished. ``keys``: the objects that record them."""

    contents: frozenset[bytes] = frozenset()
    chunks: frozenset[bytes] = frozenset()
    rows: int = 0
    columns: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()


NOTHING = UnfinishedErasures()


def begin(core: Core, finder: Finder, condition: str, rows: int, columns: frozenset[str]) -> UnfinishedErasures:
    """Record the chunks of the contents that were found. ``condition``: the text that selects the removed rows."""
    contents, chunks = finder.contents, frozenset(finder.chunks)
    id = core.clock.new_id()
    mark = _mark(id, condition)
    said = Erasing(id, _hexed(contents), _hexed(chunks), mark, rows, tuple(sorted(columns)))
    core.create(keys.erasing(id), seal("erasing", said))
    return UnfinishedErasures(contents, chunks, rows, columns, (keys.erasing(id),))


def _mark(id: str, condition: str) -> str:
    """Return a hash that identifies a condition, and reveals nothing to readers who don't know the condition."""
    return blake3(f"{id} {condition}".encode()).hexdigest()


def _hexed(hashes: frozenset[bytes]) -> tuple[str, ...]:
    return tuple(sorted(hash.hex() for hash in hashes))


def unfinished(core: Core, condition: str) -> frozenset[bytes]:
    """Return the contents of unfinished erasures with this condition: bundles of other repos may still have them."""
    begun = (said for _, said in _begun(core) if said.condition == _mark(said.id, condition))
    return frozenset(bytes.fromhex(content) for said in begun for content in said.contents)


def _begun(core: Core) -> Iterator[tuple[str, Erasing]]:
    for stat in core.backend.list(keys.ERASING):
        yield stat.key, unseal(get_object(core.backend, stat.key), "erasing", Erasing, stat.key)


def resume(core: Core, contents: frozenset[bytes], rows: int) -> UnfinishedErasures:
    """Return what interrupted erasures have left, without those whose contents bundles still have.

    Those bundles must be changed first, or they would lose a file. ``contents``, ``rows``: what is erased now; the
    result includes it.
    """
    found = UnfinishedErasures(contents, rows=rows)
    for key, said in _begun(core):
        named = frozenset(map(bytes.fromhex, said.contents))
        finder = Finder(core, named - contents, lambda entry: False)
        finder.find()
        if not finder.left:
            # If both concern the same contents, both counted the same rows, so the larger count is used and not the
            # sum.
            is_again = bool(named & found.contents)
            found = UnfinishedErasures(
                found.contents | named,
                found.chunks | frozenset(map(bytes.fromhex, said.chunks)),
                max(found.rows, said.rows) if is_again else found.rows + said.rows,
                found.columns | frozenset(said.columns),
                (*found.keys, key),
            )
    return found
