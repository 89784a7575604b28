"""Erase: the bytes of some contents leave the store for good, whoever refers to them under whatever name.

Manifests, ids and versions stay as they are and verify; a reader of the bytes is told that they were erased. The work is
a generation of gc: every pack that holds a chunk of the content is replaced, and only what other contents need is
carried over. A notice in ``erased/`` comes first, so that no session from then on stores the bytes again unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from sheaf.engine.contents import Contents, Erased
from sheaf.engine.core import Core
from sheaf.engine.gc import Collected, Waiting, finish
from sheaf.engine.log import repo_log, store_log
from sheaf.engine.nodes import Nodes, pointer_of
from sheaf.engine.packs import read_table
from sheaf.engine.reach import live_bundles, needed_chunks
from sheaf.engine.tree import entries
from sheaf.errors import Conflict, Corrupt
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, ErasedPlace, Notice, Receipt, encode_condemned, seal, unseal
from sheaf.model.entries import Entry, RecipePlace
from sheaf.model.log import AddBundle, Bundle
from sheaf.model.nodes import Pointer

__all__ = ["Found", "erase", "find_contents", "notices", "receipts"]

_ROUNDS = 5  # generations until no pack holds a chunk any more; later ones are for what was written meanwhile


@dataclass(slots=True)
class Found:
    """Where contents stand: ``places`` in bundles that live, and the hashes of all ``chunks`` that they are made of."""

    places: list[ErasedPlace] = field(default_factory=list)
    chunks: set[bytes] = field(default_factory=set)


def notices(core: Core) -> list[Notice]:
    """What was erased, by its hash, and why."""
    listed = core.backend.list(keys.ERASED, sort=True)
    return [unseal(core.backend.get(stat.key), "erased", Notice, stat.key) for stat in listed]


def receipts(core: Core) -> list[Receipt]:
    """The receipts of all erasures, oldest first by their clocks."""
    listed = core.backend.list(keys.RECEIPTS, sort=True)
    return [unseal(core.backend.get(stat.key), "receipt", Receipt, stat.key) for stat in listed]


def erase(core: Core, contents: frozenset[bytes], reason: str, waiting: Waiting) -> Receipt:
    """Remove the bytes of these contents from all bundles of all repos, living or deleted.

    Raises:
        Conflict: somebody keeps writing the same bytes; or this gc was ended by another one. Run it again.
    """
    found = find_contents(core, contents)
    for content in contents:  # "other" is an older notice, which is as good
        core.backend.create(
            keys.erased(content), seal("erased", Notice(content.hex(), core.now(), reason, core.author))
        )
    done = Collected()
    for _ in range(_ROUNDS):
        packs, scanned = _holding(core, found.chunks | contents, contents)
        objects = frozenset(_objects(core, contents))
        if not packs and not objects:
            return _receipt(core, contents, reason, found, done, scanned)
        _, heads = live_bundles(core)
        none: frozenset[bytes] = frozenset()
        condemned = Condemned(core.clock.new_id(), none, packs, none, objects, heads, contents)
        key = keys.condemned(condemned.generation)
        core.create(key, encode_condemned(condemned))
        finish(core, key, waiting, done)
        done.moved += len(packs)
    raise Conflict("somebody keeps storing the bytes that are to be erased", "stop the uploads and run it again")


def _receipt(
    core: Core, contents: frozenset[bytes], reason: str, found: Found, done: Collected, scanned: int
) -> Receipt:
    receipt = Receipt(
        core.clock.new_id(),
        core.now(),
        reason,
        tuple(sorted(content.hex() for content in contents)),
        tuple(found.places),
        done.moved,
        scanned,
        core.author,
    )
    core.create(keys.receipt(receipt.id), seal("receipt", receipt))
    return receipt


# -- finding -----------------------------------------------------------------------------------------------------------


def find_contents(core: Core, contents: frozenset[bytes]) -> Found:
    """Every path of every bundle with one of these contents. Reads every leaf once, inner nodes once a bundle."""
    nodes, reader, found = Nodes(core), Contents(core), Found()
    wanted = pa.array(sorted(contents), pa.binary(32))
    hits: dict[tuple[bytes, str], list[Entry]] = {}
    for repo, bundle, is_alive in _all_bundles(core):
        try:
            for leaf in _leaves(nodes, pointer_of(bundle.root)):
                at = (leaf.id, leaf.prefix)
                if at not in hits:
                    batch = nodes.rows(leaf)
                    hits[at] = list(entries(batch.filter(pc.is_in(batch["content"], value_set=wanted))))
                    for entry in hits[at]:
                        found.chunks |= _chunks(reader, entry)
                if is_alive:
                    found.places += [ErasedPlace(repo, bundle.id, entry.path) for entry in hits[at]]
        except Corrupt:
            if is_alive:
                raise
    return found


def _all_bundles(core: Core) -> Iterator[tuple[str, Bundle, bool]]:
    """(repo name, bundle, whether it lives) of every bundle that was ever committed."""
    alive = {bundle.id for bundle in live_bundles(core)[0]}
    for repo in store_log(core).head().state.repos.values():
        for record in repo_log(core, repo.id).records():
            for op in record.ops:
                if isinstance(op, AddBundle):
                    yield repo.name, op.bundle, op.bundle.id in alive


def _leaves(nodes: Nodes, pointer: Pointer) -> Iterator[Pointer]:
    if not pointer.level:
        yield pointer
        return
    for child in nodes.children(pointer):
        yield from _leaves(nodes, child)


def _chunks(reader: Contents, entry: Entry) -> set[bytes]:
    if not isinstance(entry.place, RecipePlace):
        return {entry.content}
    try:
        return {entry.place.recipe, *(row[0] for row in reader.recipe_rows(entry.place))}
    except Erased:
        return {entry.content, entry.place.recipe}


# -- proving -----------------------------------------------------------------------------------------------------------


def _holding(core: Core, chunks: set[bytes], contents: frozenset[bytes]) -> tuple[frozenset[bytes], int]:
    """The packs that hold one of these chunks where no other content needs it, and how many packs were looked at."""
    suspects: dict[bytes, set[int]] = {}
    scanned = 0
    for stat in core.backend.list(keys.PACKS):
        scanned += 1
        table = read_table(core, stat.key, stat.size)
        offsets = {int(at) for hash, at in zip(table.hashes, table.offsets, strict=True) if hash.tobytes() in chunks}
        if offsets:
            suspects[bytes.fromhex(stat.key.rpartition("/")[2])] = offsets
    if not suspects:
        return frozenset(), scanned
    needed, _ = needed_chunks(core, Nodes(core), Contents(core), live_bundles(core)[0], frozenset(suspects), contents)
    return frozenset(pack for pack, offsets in suspects.items() if offsets - needed[pack].keys()), scanned


def _objects(core: Core, contents: frozenset[bytes]) -> Iterator[str]:
    names = {content.hex() for content in contents}
    for stat in core.backend.list(keys.OBJECTS):
        if stat.key.rpartition("-")[2] in names:
            yield stat.key
