"""Golden vectors: small inputs that anybody can make, and what the format makes of them.

Pseudo-random bytes are the extended output of BLAKE3 over a name, so that no generator has to be described.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from blake3 import blake3
from pyfastcdc import FastCDC
from tests.compat.builders import external_entry
from tests.format.trees import Shelf

from sheaf.engine.chunks.cut_file import cut_file
from sheaf.engine.manifest.rows import folder_entry, row_of, symlink_entry
from sheaf.engine.manifest.tree_writer import leaves_of
from sheaf.format.columns import U32, hashes_of
from sheaf.format.encrypted_v1 import ObjectCipher, StoreKey, stored_size
from sheaf.format.frame_v1 import RAW
from sheaf.format.index_v1 import encode_index, sorted_segment
from sheaf.format.keyslot_v1 import KeySlot, encode_slot, wrap
from sheaf.format.moved_v1 import encode_moved
from sheaf.format.node_v1 import ROWS, children_hashes, cut_children, row_hashes
from sheaf.format.pack_v1 import encode_head, encode_tail, pack_id
from sheaf.format.recipe_v1 import encode_part
from sheaf.format.record_v1 import encode_record, patch
from sheaf.format.session_v1 import Condemned, Session, encode_condemned, seal
from sheaf.format.store_v1 import NEW_STORE_CHUNKER, StoreConfig, encode_config
from sheaf.model.entries import ChunkPlace, ExternalPlace, Kind, ManifestEntry
from sheaf.model.ids import ksuid
from sheaf.model.nodes import Pointer
from sheaf.model.paths import order_key, split
from sheaf.model.records import Author, Record, SetLabel

ID = ksuid(1_790_000_000, bytes(range(16)))
TIME = "2026-11-21T01:02:03.000004Z"
PATHS = ["a", "a-b", "a.b", "a/b", "a/b/c", "a-b/c", "a\x01", "a\x01/b", "é", "\U0001f600", "Z", "a/b-c", "a/b.c/d"]


def stream(name: str, length: int) -> bytes:
    """Pseudo-random bytes."""
    return blake3(name.encode()).digest(length)


def h(n: int) -> bytes:
    """The nth hash."""
    return blake3(str(n).encode()).digest()


CHUNKED: dict[str, bytes] = {
    **{
        f"stream chunks-{n} {n}": stream(f"chunks-{n}", n)
        for n in (0, 1, 16384, 16385, 16386, 65536, 1_000_003, 4_000_000)
    },
    "zeros 600001": bytes(600_001),
    "lines 90000": b"".join(b"%09d\n" % n for n in range(90_000)),
}
_SQLITE = b"SQLite format 3\0"
DATABASES: dict[str, bytes] = {
    **{f"database {n}": _SQLITE + bytes(n - 16) for n in (16384, 16385, 24576, 100_000)},
    "no database 100000": b"SQLite format 3\n" + stream("no database", 99_984),
}


def computed() -> dict[str, Any]:
    """All vectors, as the current code makes them."""
    return {name: make() for name, make in VECTORS.items()}


def _chunks() -> Any:
    cutter = FastCDC(65536, min_size=16384, max_size=262144, normalized_chunking=1, seed=0)
    return {name: [chunk.length for chunk in cutter.cut_buf(data)] if data else [] for name, data in CHUNKED.items()}


def _databases() -> Any:
    cuts = {name: cut_file(NEW_STORE_CHUNKER, [data], 1 << 20) for name, data in DATABASES.items()}
    return {name: [len(chunk) for chunks in found for chunk in chunks] for name, found in cuts.items()}


def _ksuids() -> Any:
    moments = [(1_400_000_000, bytes(16)), (1_790_000_000, bytes(range(16))), (1_400_000_000 + 2**32 - 1, b"\xff" * 16)]
    return [[seconds, payload.hex(), ksuid(seconds, payload)] for seconds, payload in moments]


def _leaf() -> pa.RecordBatch:
    entries = [
        ManifestEntry("", "a", Kind.FILE, 0o755, -1, 3, h(1), place=ChunkPlace(h(2), 48, 4)),
        folder_entry("d", 0o700, 5),
        external_entry("e", "s3://b/k", 7, '"tag"', 6),
        symlink_entry("ö", "../a", 7),
        ManifestEntry("d", "m", Kind.FILE, 0o644, 8, 0, h(3), attrs={"md5": "x", "content-type": "a/b"}),
        ManifestEntry("d", "o", Kind.FILE, 0o640, 9, 9, h(4), place=ExternalPlace("u", "")),
    ]
    return pa.Table.from_batches(list(map(row_of, entries))).combine_chunks().to_batches()[0]


def _leaf_hashes() -> Any:
    rows = [{k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()} for row in _leaf().to_pylist()]
    return {"rows": rows, "hashes": [hash.hex() for hash in row_hashes(_leaf(), "")]}


def _inner_hashes() -> Any:
    prefixes = ["", "d", "d/é", "d/é"]
    children = [Pointer(h(n), n, 0, prefix, 10 + n, n, h(20 + n), h(30 + n)) for n, prefix in enumerate(prefixes)]
    return [
        [hash.hex() for hash in children_hashes(level, children[level - 1 :], "d" * (level > 1))] for level in (1, 2)
    ]


def many_rows(count: int) -> pa.RecordBatch:
    """Files n000000, n000001, … with the hash of their number as content."""
    columns: dict[str, Any] = {name: pa.nulls(count, ROWS.field(name).type) for name in ROWS.names}
    columns |= {
        name: np.zeros(count, ROWS.field(name).type.to_pandas_dtype())
        for name in ("kind", "mode", "mtime", "size", "place")
    }
    columns |= {"folder": [""] * count, "name": [f"n{n:06}" for n in range(count)]}
    columns["content"] = pa.array([h(n) for n in range(count)], pa.binary(32))
    return pa.RecordBatch.from_pydict(columns, ROWS)


def _tree() -> Any:
    shelf = Shelf.new()
    root = shelf.writer().build([many_rows(60_000)])
    leaves = [pointer.rows for pointer in leaves_of(shelf.nodes, root) if not pointer.level]
    return {"leaves": leaves, "level": root.level, "logical": root.logical.hex(), "full": root.full.hex()}


def _inner_cuts() -> Any:
    return [n for n in range(20_000) if cut_children(Pointer(b"", 0, 0, "", 0, 0, h(n), b""))]


def _order() -> Any:
    return sorted(PATHS, key=lambda path: order_key(*split(path)))


def _objects() -> Any:
    label = msgspec.to_builtins(SetLabel("v1", ID))
    number = np.array([0, 1, 0], U32)
    packs, hashes = hashes_of([h(1), h(2)]), hashes_of([h(5), h(6), h(7)])
    frames = [RAW + b"one", RAW + b"three"]
    tail = encode_tail(hashes_of([blake3(frame[1:]).digest() for frame in frames]), [3, 5], [4, 6])
    condemned = Condemned(
        ID, frozenset({h(1)}), frozenset({h(2)}), frozenset({h(3)}), frozenset({"objects/x"}), {"": 3}
    )
    whole = Record(0, "w0", "", TIME, Author("a", "b@c"), (label,), {"count": 0})
    return {
        "store": encode_config(StoreConfig(ID, TIME, chunker=NEW_STORE_CHUNKER)).decode(),
        "record with its state": encode_record(whole).decode(),
        "record with a delta": encode_record(
            Record(1, "w1", "w0", TIME, Author(), (label,), None, 0, {"count": 1})
        ).decode(),
        "record with a delta from a delta": encode_record(
            Record(2, "w2", "w1", TIME, Author(), (label,), None, 1, {"count": 2})
        ).decode(),
        "session": seal("session", Session(ID, ID, "upload", TIME, 3)).decode(),
        "pack": (encode_head(ID, 7) + b"".join(frames) + tail).hex(),
        "part": encode_part(0, [(h(n), n + 1, h(100 + n % 2), 8 * n, 5) for n in range(3)]).hex(),
        "moved": encode_moved([(40, h(1), 48, 9), (80, None, 0, 0), (96, h(2), 40, 5)]).hex(),
        "condemned": encode_condemned(condemned).hex(),
        "index": encode_index(ID, sorted_segment(packs, hashes, number, number, number)).hex(),
        "encrypted": _encrypted(b"hello\n").hex(),
        "key slot": encode_slot(wrap(STORE_KEY, bytes(range(1, 33)), SLOT)).decode(),
    }


STORE_KEY = StoreKey(bytes(range(32)), ID)
SLOT = KeySlot(ID, "key", TIME, (b"\xff" * 32).hex(), note="ü")


def _encrypted(data: bytes) -> bytes:
    out = bytearray(stored_size(len(data)))
    cipher = ObjectCipher.begin(STORE_KEY, "packs/00/example", b"\xff" * 32, len(data))
    cipher.seal(memoryview(data), memoryview(out))
    return bytes(out)


VECTORS: dict[str, Callable[[], Any]] = {
    "chunk lengths": _chunks,
    "chunk lengths of databases": _databases,
    "ksuids": _ksuids,
    "pack ids": lambda: [pack_id(ID, n).hex() for n in (0, 1, 2**32 - 1)],
    "leaf hashes": _leaf_hashes,
    "inner hashes": _inner_hashes,
    "tree of 60000 rows": _tree,
    "inner cuts": _inner_cuts,
    "order of rows": _order,
    "merge patch": lambda: patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1, "e": 3}, "d": [2]}),
    "objects": _objects,
}

if __name__ == "__main__":
    print(json.dumps(computed(), indent=1))
