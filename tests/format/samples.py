"""One valid object of every kind, and how it is read: what the tests of damage begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import zstandard
from blake3 import blake3

from sheaf.engine.commit.diamonds import DiamondEnd, DiamondStart, SplitDone, SplitStart
from sheaf.engine.encryption.encrypted_backend import EncryptedBackend
from sheaf.engine.manifest.light_node import LightLeaf, children_of
from sheaf.engine.manifest.rows import folder_entry, row_of, symlink_entry
from sheaf.engine.manifest.tree import entries
from sheaf.format.columns import hashes_of
from sheaf.format.encrypted_v1 import StoreKey
from sheaf.format.frame_v1 import RAW, ZSTD, unframe
from sheaf.format.index_v1 import decode_index, encode_index, sorted_segment
from sheaf.format.keyslot_v1 import KeySlot, Work, decode_slot, encode_slot, unwrap, wrap
from sheaf.format.moved_v1 import decode_moved, encode_moved
from sheaf.format.node_columns_v1 import decode_columns
from sheaf.format.node_v1 import (
    children_hashes,
    decode_children,
    decode_rows,
    encode_children,
    encode_rows,
    leaf_packs,
    row_hashes,
)
from sheaf.format.pack_v1 import decode_table, encode_head, encode_tail
from sheaf.format.recipe_v1 import decode_part, encode_part
from sheaf.format.record_v1 import PAGE_RECORDS, decode_page, decode_record, encode_page, encode_record
from sheaf.format.replica_v1 import Behind, ReplicaNotice
from sheaf.format.session_v1 import (
    Condemned,
    ErasedFile,
    Erasing,
    Notice,
    Receipt,
    RunEnd,
    RunStart,
    Session,
    decode_condemned,
    encode_condemned,
    seal,
    unseal,
)
from sheaf.format.store_v1 import StoreConfig, decode_config, encode_config
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry, ObjectPlace, RecipePlace
from sheaf.model.ids import ksuid
from sheaf.model.nodes import Pointer
from sheaf.model.records import Author, Record, Root, SetLabel
from sheaf.storage.memory import MemoryBackend

ID = ksuid(1_700_000_000, bytes(range(16)))
TIME = "2026-11-21T01:02:03.000004Z"
ROOT = Root("01" * 32, 100, 0, 3, 9, "02" * 32, "03" * 32)


@dataclass(frozen=True, slots=True)
class Sample:
    """``sealed``: the object holds a hash of itself, so that no change at all may go unnoticed."""

    data: bytes
    decode: Callable[[bytes], Any]
    sealed: bool = False


def digest(n: int) -> bytes:
    """Some hash, another for each number."""
    return blake3(n.to_bytes(8, "little")).digest()


def rows() -> pa.RecordBatch:
    """A leaf's rows with every kind and place, all below ``a/b``."""
    entries = [
        symlink_entry("a/b/link", "../ö", 7),
        folder_entry("a/b/sub", 0o700, -1),
        ManifestEntry("a/b/sub", "chunk", Kind.FILE, 0o755, 5, 3, digest(1), place=ChunkPlace(digest(9), 40, 4)),
        ManifestEntry("a/b/sub", "empty", Kind.FILE, content=blake3(b"").digest()),
        ManifestEntry(
            "a/b/sub", "object", Kind.FILE, size=9, content=digest(2), attrs={"md5": "x"}, place=ObjectPlace(ID)
        ),
        ManifestEntry(
            "a/b/sub", "url", Kind.EXTERNAL, size=9, content=digest(3), place=ExternalPlace("s3://b/k", '"e"')
        ),
    ]
    recipe = RecipePlace(digest(4), digest(8), 80, 99)
    whole = ManifestEntry("a/b/sub", "zz", Kind.FILE, size=1 << 20, content=digest(5), place=recipe)
    batches = [*(row_of(entry) for entry in entries), row_of(whole, [(digest(8), 500), (digest(9), 8)])]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def leaf() -> tuple[bytes, Pointer]:
    """A leaf's bytes and the pointer to it."""
    batch = rows()
    data = encode_rows(ID, batch, "a/b")
    size = sum(batch["size"].to_pylist())
    hashes = row_hashes(batch, "a/b")
    return data, Pointer(
        blake3(data).digest(), len(data), 0, "a/b", batch.num_rows, size, *hashes, "a/b", "link", leaf_packs(batch)
    )


def inner() -> tuple[bytes, Pointer]:
    """An inner node of two children, and the pointer to it."""
    first = leaf()[1]
    children = [first, Pointer(digest(1), 9, 0, "a/c", 3, 4, digest(2), digest(3), "a/c", "x")]
    data = encode_children(ID, 1, children, "a")
    total = sum(child.rows for child in children)
    hashes = children_hashes(1, children, "a")
    return data, Pointer(blake3(data).digest(), len(data), 1, "a", total, first.size + 4, *hashes, "a/b", "link")


def record(n: int) -> Record:
    """Record n of some log."""
    op = msgspec.to_builtins(SetLabel("v1", ID))
    return Record(n, f"w{n}", f"w{n - 1}", TIME, Author("a", "b@c"), (op,), {"count": 0})


def pack() -> bytes:
    """A pack of two chunks."""
    head = encode_head(ID, 0)
    frames = [RAW + b"one", RAW + b"three"]
    tail = encode_tail(hashes_of([blake3(f[1:]).digest() for f in frames]), [3, 5], [4, 6])
    return head + b"".join(frames) + tail


def _index() -> bytes:
    number = np.array([0, 1, 0], np.uint32)
    packs, hashes = hashes_of([digest(1), digest(2)]), hashes_of([digest(n) for n in (5, 6, 7)])
    segment = sorted_segment(packs, hashes, number, number, number)
    return encode_index(ID, segment, ("index/0/a-b",))


def _condemned() -> bytes:
    first, second, third = (frozenset({digest(n)}) for n in range(3))
    return encode_condemned(Condemned(ID, first, second, third, frozenset({"objects/00/x"})))


def _sealed(kind: str, value: Any) -> Sample:
    return Sample(seal(kind, value), lambda data: unseal(data, kind, type(value), kind), sealed=True)


def light_rows(data: bytes, pointer: Pointer) -> list[ManifestEntry]:
    """A leaf's rows without Arrow; with it where that is needed."""
    columns = decode_columns(data, 0, "leaf")
    if columns is None:
        return list(entries(decode_rows(data, pointer)))
    return [LightLeaf(columns, pointer).entry(row) for row in range(columns.rows)]


def light_children(data: bytes, pointer: Pointer) -> list[Pointer]:
    """An inner node's children, likewise."""
    columns = decode_columns(data, pointer.level, "inner")
    return decode_children(data, pointer) if columns is None else list(children_of(columns, pointer))


def _encrypted() -> Sample:
    """An object of several segments, as the store of an encrypted place holds it."""
    key, name, inner = StoreKey(bytes(32), ID), "packs/00/x", MemoryBackend()
    EncryptedBackend(inner, key, lambda size: b"\xff" * size).create(name, pack() * 700)

    def decode(data: bytes) -> bytes:
        place = MemoryBackend()
        place.create(name, data)
        return EncryptedBackend(place, key).get(name)

    return Sample(inner.get(name), decode, sealed=True)


def _slot() -> Sample:
    blank = KeySlot(ID, "passphrase", TIME, bytes(32).hex(), note="ö", scrypt=Work(2, 1, 1))
    slot = wrap(StoreKey(bytes(32), ID), "words", blank)
    return Sample(encode_slot(slot), lambda data: unwrap(decode_slot(data, "slot"), ID, "words"), sealed=True)


def samples() -> dict[str, Sample]:
    """All of them by name."""
    leaf_data, leaf_pointer = leaf()
    inner_data, inner_pointer = inner()
    whole = pack()
    part_rows = [(digest(n), n + 1, digest(100 + n % 2), 8 * n, 5) for n in range(20)]
    return {
        "store": Sample(encode_config(StoreConfig(ID, TIME)), decode_config, sealed=True),
        "record": Sample(encode_record(record(7)), lambda data: decode_record(data, "r"), sealed=True),
        "session": _sealed("session", Session(ID, ID, "upload", TIME, 3, Author("a"), "host")),
        "run-start": _sealed("run-start", RunStart(ID, TIME, ("a", "b"), ("r@bundle:x",), {"K": "v"})),
        "run-end": _sealed("run-end", RunEnd(ID, TIME, "failed", 3)),
        "erased": _sealed("erased", Notice(digest(1).hex(), TIME, "asked for")),
        "erasing": _sealed("erasing", Erasing(ID, (digest(1).hex(),), (digest(2).hex(),), "x", 3, ("name",))),
        "receipt": _sealed(
            "receipt",
            Receipt(
                ID, TIME, "x", (digest(1).hex(),), (ErasedFile("r", ID, "a/b", digest(1).hex()),), 1, 2, replaces=ID
            ),
        ),
        "replica": _sealed("replica", ReplicaNotice(3, "s3://b/x", TIME)),
        "behind": _sealed("behind", Behind("s3://b/x", "away", TIME)),
        "diamond": _sealed("diamond", DiamondStart(ID, TIME, Author("a"))),
        "diamond-end": _sealed("diamond-end", DiamondEnd("done", TIME, "ignored", (ID,), "t")),
        "split": _sealed("split", SplitStart("one", ID, TIME, Author("a"), "t")),
        "split-done": _sealed("split-done", SplitDone("one", ID, TIME, TIME, ROOT, 3)),
        "page": Sample(
            encode_page([record(n) for n in range(PAGE_RECORDS)]), lambda data: decode_page(data, "p"), sealed=True
        ),
        "condemned": Sample(_condemned(), lambda data: decode_condemned(data, "c"), sealed=True),
        "encrypted": _encrypted(),
        "key": _slot(),
        "moved": Sample(
            encode_moved([(40, digest(1), 48, 9), (80, None, 0, 0), (96, digest(2), 40, 5)]),
            lambda data: decode_moved(data, "m"),
            sealed=True,
        ),
        "index": Sample(_index(), lambda data: decode_index(data, "i")),
        "part": Sample(encode_part(0, part_rows), lambda data: decode_part(data, "part")),
        "pack": Sample(whole, lambda data: decode_table(data, len(data), "pack")),
        "frame": Sample(ZSTD + zstandard.compress(b"x" * 99), lambda data: unframe(data, "frame", 1000)),
        "leaf": Sample(leaf_data, lambda data: decode_rows(data, leaf_pointer)),
        "inner": Sample(inner_data, lambda data: decode_children(data, inner_pointer)),
        "light-leaf": Sample(leaf_data, lambda data: light_rows(data, leaf_pointer)),
        "light-inner": Sample(inner_data, lambda data: light_children(data, inner_pointer)),
    }
