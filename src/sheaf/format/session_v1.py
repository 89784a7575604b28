"""Sessions, runs, receipts and notes: small sealed JSON objects; and the list of what a generation of gc condemns."""

from __future__ import annotations

import re

import msgspec

from sheaf.errors import Corrupt
from sheaf.format.envelope import decode_envelope, encode_envelope, sealed
from sheaf.format.keys import MAX_RECORD
from sheaf.format.sealed import seal, unseal
from sheaf.model.ids import check_hashes, check_ids
from sheaf.model.records import Author

__all__ = [
    "Condemned",
    "Damage",
    "ErasedFile",
    "Erasing",
    "Notice",
    "Receipt",
    "RunEnd",
    "RunStart",
    "Session",
    "decode_condemned",
    "encode_condemned",
    "seal",
    "unseal",
]


#: Whole files and receipts: the objects that a condemned list may name by key.
_DELETED = re.compile(r"(objects|receipts)(/[0-9A-Za-z_-][0-9A-Za-z._-]*)+", re.ASCII)


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """A writer that intends to commit. ``id``: of its future bundle; ``n``: the repo's newest record when it began."""

    id: str
    repo: str
    kind: str
    started: str
    n: int
    author: Author = Author()
    host: str = ""

    def __post_init__(self) -> None:
        check_ids(self.id, *filter(None, (self.repo,)))
        if not -1 <= self.n <= MAX_RECORD:
            raise ValueError(f"invalid record number {self.n}")


class RunStart(msgspec.Struct, frozen=True, omit_defaults=True):
    """The start of a run. ``inputs``: addresses with bundle ids."""

    id: str
    time: str
    command: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    author: Author = Author()

    def __post_init__(self) -> None:
        check_ids(self.id)


class RunEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a run. ``outcome``: ``succeeded``, ``failed`` or ``canceled``; ``outputs``: addresses with bundle ids."""

    id: str
    time: str
    outcome: str
    exit: int | None = None
    outputs: tuple[str, ...] = ()
    message: str = ""

    def __post_init__(self) -> None:
        check_ids(self.id)


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The notice in ``erased/<content>``: bytes with this hash were removed permanently. ``size``: their number, if known.

    ``origin``: the id of the store that they were removed from and that has the receipt, if it is another store.
    """

    content: str
    time: str
    reason: str
    author: Author = Author()
    size: int = -1
    origin: str = ""

    def __post_init__(self) -> None:
        check_hashes(self.content)
        check_ids(*filter(None, (self.origin,)))


class ErasedFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One path of one bundle that had an erased content. ``path``: empty if it was removed from the receipt."""

    repo: str
    bundle: str
    path: str
    content: str = ""

    def __post_init__(self) -> None:
        check_hashes(*filter(None, (self.content,)))


class Erasing(msgspec.Struct, frozen=True, omit_defaults=True):
    """An erasure that replaces contents has begun. It records their chunks for the time when no bundle names them any more.

    ``chunks``: all hashes in hex, recipes included; ``condition``: a hash of the id and of what makes the new contents from
    the old ones; ``rows``, ``columns``: as in its receipt.
    """

    id: str
    contents: tuple[str, ...]
    chunks: tuple[str, ...]
    condition: str
    rows: int = 0
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_ids(self.id)
        check_hashes(*self.contents, *self.chunks)


class Damage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The note in ``damaged/<key>``: the object at ``key`` was found damaged or missing. ``reason``: in words."""

    key: str
    time: str
    reason: str
    author: Author = Author()


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """The receipt in ``receipts/<id>.json``: what was erased, where it was, and that a scan found no trace of it.

    ``packs``: number of packs that were replaced; ``scanned``: number that were searched afterwards; ``kept``: number of
    chunks that stay, since other contents have the same ones; ``deleted``: the keys of all objects that contained something;
    ``names``: number of paths whose name was replaced by a notice; ``replaces``: the id of a receipt that this one repeats
    without paths that were removed since; ``rows``: number of rows removed from tables, each file counted once; ``columns``:
    the columns of the condition; ``unfinished``: number of files of ended writers that were removed, whatever they contained;
    ``left``: names of those that could not be removed, since their writer may be running; ``spills``: folders of writable
    mounts on the machine that erased, which may contain the bytes.
    """

    id: str
    time: str
    reason: str
    contents: tuple[str, ...]
    places: tuple[ErasedFile, ...]
    packs: int
    scanned: int
    author: Author = Author()
    kept: int = 0
    deleted: tuple[str, ...] = ()
    names: int = 0
    replaces: str = ""
    rows: int = 0
    columns: tuple[str, ...] = ()
    unfinished: int = 0
    left: tuple[str, ...] = ()
    spills: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_ids(self.id, *filter(None, (self.replaces,)))
        check_hashes(*self.contents)


class CondemnedHeader(msgspec.Struct, frozen=True):
    """Counts of the ids in the payload, in this order, 32 bytes each; ``objects`` are keys, ``erase`` contents in hex.

    ``keep`` is absent where nothing is kept.
    """

    generation: str
    dead_packs: int
    moving_packs: int
    dead_nodes: int
    objects: tuple[str, ...] = ()
    heads: dict[str, int] = {}
    erase: tuple[str, ...] = ()
    keep: str | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        check_ids(self.generation, *filter(None, self.heads))
        check_hashes(*self.erase)
        # Any process that finishes the generation deletes these keys.
        for key in self.objects:
            if _DELETED.fullmatch(key) is None:
                raise ValueError(f"{key[:100]!r} is not an object that gc or an erasure deletes")
        if not all(-1 <= n <= MAX_RECORD for n in self.heads.values()):
            raise ValueError("invalid record numbers")


class Condemned(msgspec.Struct, frozen=True):
    """What one generation of gc is about to delete (dead) or to replace (moving).

    ``heads``: the newest record of the store's log (key "") and of each repo's (its id) when the generation was marked, so
    that any gc can finish it: bundles that were added after these records are examined again.
    ``erase``: contents whose bytes are not copied from moving packs.
    ``keep``: bundles that were deleted at this time (RFC 3339) or later count as live, whichever gc finishes it; empty for
    none.
    """

    generation: str
    dead_packs: frozenset[bytes]
    moving_packs: frozenset[bytes]
    dead_nodes: frozenset[bytes]
    objects: frozenset[str]
    heads: dict[str, int] = {}
    erase: frozenset[bytes] = frozenset()
    keep: str = ""


def encode_condemned(value: Condemned) -> bytes:
    """Encode as envelope kind ``C``: the ids, each list sorted, and the seal."""
    lists = [sorted(ids) for ids in (value.dead_packs, value.moving_packs, value.dead_nodes)]
    dead, moving, nodes = map(len, lists)
    header = CondemnedHeader(
        value.generation,
        dead,
        moving,
        nodes,
        tuple(sorted(value.objects)),
        value.heads,
        tuple(sorted(content.hex() for content in value.erase)),
        value.keep or msgspec.UNSET,
    )
    return sealed(encode_envelope("C", header) + b"".join(id for ids in lists for id in ids))


def decode_condemned(data: bytes, what: str) -> Condemned:
    """Decode a condemned list. Raises Corrupt or Unsupported."""
    header, payload = decode_envelope(data, "C", CondemnedHeader, what)
    counts = (header.dead_packs, header.moving_packs, header.dead_nodes)
    if min(counts) < 0 or len(payload) != 32 * sum(counts):
        raise Corrupt(f"{what} does not contain as many ids as it claims")
    ids = [bytes(payload[at : at + 32]) for at in range(0, len(payload), 32)]
    first, second = counts[0], counts[0] + counts[1]
    return Condemned(
        header.generation,
        frozenset(ids[:first]),
        frozenset(ids[first:second]),
        frozenset(ids[second:]),
        frozenset(header.objects),
        header.heads,
        frozenset(map(bytes.fromhex, header.erase)),
        header.keep or "",
    )
