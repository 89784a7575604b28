"""Erase: the bytes of some contents leave the store for good, whoever refers to them under whatever name.

Manifests, ids and versions stay as they are and verify; a reader of the bytes is told that they were erased.

1. A notice in ``erased/`` for each content: sessions that begin from now on refuse to store it.
2. Wait until every session that did not see the notice has ended. From here on nobody can bring the bytes back.
3. Find all chunks of the contents, and all packs that hold one which no other content needs.
4. Replace these packs by a generation of gc that leaves the chunks out. Once its list is created, any gc finishes it.
5. Look at every pack again; write the receipt.

Each step may be done twice: who is stopped runs it again.
"""

from __future__ import annotations

from sheaf.engine.contents import Contents
from sheaf.engine.core import Core
from sheaf.engine.finding import Finder, held_by
from sheaf.engine.gc import Collected, Waiting, finish, resolve
from sheaf.engine.nodes import Nodes
from sheaf.engine.reach import live_bundles, needed_chunks
from sheaf.engine.sessions import list_sessions
from sheaf.errors import Conflict, NotFound
from sheaf.format import keys
from sheaf.format.session_v1 import Condemned, Notice, Receipt, encode_condemned, seal, unseal

__all__ = ["erase", "notices", "receipts"]

_ROUNDS = 5  # one is enough unless somebody stores the bytes in spite of the notice
_NOTHING: frozenset[bytes] = frozenset()


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
        NotFound: the store has none of them.
        Conflict: somebody keeps writing the same bytes; or this gc was ended by another one. Run it again.
    """
    finder, done, deleted = Finder(core, contents), Collected(), set[str]()
    finder.find()
    if not finder.chunks and not held_by(core, contents).packs:
        raise NotFound(f"no file has the content {min(contents).hex()}", "give the hash that `b3sum` prints")
    indexed = {stat.key for stat in core.backend.list(keys.INDEX)}
    for stat in list(core.backend.list(keys.CONDEMNED)):
        _finished(core, stat.key, waiting, done)
    for content in contents:  # "other" is an older notice, which is as good
        notice = Notice(content.hex(), core.now(), reason, core.author, finder.sizes.get(content, -1))
        core.backend.create(keys.erased(content), seal("erased", notice))
    waiting.settle(2 * core.backend.settle_s)
    if not resolve(core, list_sessions(core), waiting, done):
        raise _left()
    for _ in range(_ROUNDS):
        finder.find()
        todo = _Todo(core, finder)
        if not (todo.packs or todo.objects):
            _forget(core, indexed)
            return _receipt(core, reason, finder, todo, deleted)
        _replace(core, contents, todo, waiting, done)
        deleted |= {*map(keys.pack, todo.packs), *todo.objects}
    raise Conflict("somebody keeps storing the bytes that are to be erased", "stop the uploads and run it again")


class _Todo:
    """Packs and whole objects that hold something of the contents; ``kept``: chunks that other contents need, too."""

    def __init__(self, core: Core, finder: Finder) -> None:
        names = {content.hex() for content in finder.contents}
        held = held_by(core, finder.chunks | finder.contents)
        self.scanned = held.scanned
        self.objects = frozenset(
            stat.key for stat in core.backend.list(keys.OBJECTS) if stat.key.rpartition("-")[2] in names
        )
        self.packs = _NOTHING
        self.kept = 0
        if held.packs:
            bundles, suspects = live_bundles(core)[0], frozenset(held.packs)
            needed, _ = needed_chunks(core, Nodes(core), Contents(core), bundles, suspects, finder.contents)
            self.packs = frozenset(pack for pack in suspects if held.packs[pack] - needed[pack].keys())
            self.kept = sum(len(held.packs[pack] & needed[pack].keys()) for pack in suspects)


def _replace(core: Core, contents: frozenset[bytes], todo: _Todo, waiting: Waiting, done: Collected) -> None:
    """A generation of gc that moves these packs and leaves the contents behind."""
    heads = live_bundles(core)[1]
    condemned = Condemned(core.clock.new_id(), _NOTHING, todo.packs, _NOTHING, todo.objects, heads, contents)
    key = keys.condemned(condemned.generation)
    core.create(key, encode_condemned(condemned))
    _finished(core, key, waiting, done)


def _finished(core: Core, key: str, waiting: Waiting, done: Collected) -> None:
    if not finish(core, key, waiting, done):
        raise _left()


def _left() -> Conflict:
    return Conflict(
        "others are at work in the store, and the erasure waits for them", "run it again later, or with --now"
    )


def _forget(core: Core, indexed: set[str]) -> None:
    """The copies on this machine of index objects that named the chunks."""
    for key in indexed - {stat.key for stat in core.backend.list(keys.INDEX)}:
        core.cache.drop(key)


def _receipt(core: Core, reason: str, finder: Finder, todo: _Todo, deleted: set[str]) -> Receipt:
    receipt = Receipt(
        core.clock.new_id(),
        core.now(),
        reason,
        tuple(sorted(content.hex() for content in finder.contents)),
        tuple(finder.places),
        len([key for key in deleted if key.startswith(keys.PACKS)]),
        todo.scanned,
        core.author,
        todo.kept,
        tuple(sorted(deleted)),
    )
    core.create(keys.receipt(receipt.id), seal("receipt", receipt))
    return receipt
