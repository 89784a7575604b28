"""Manifest nodes (docs/format/v1.md, "Nodes"): an envelope, then one zstd-compressed Arrow IPC stream.

In memory a node's rows are Arrow record batches with absolute folders; on disk folders are relative to the node's
prefix, which is in its parent. Hashes cover the canonical encoding below, never Arrow's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from blake3 import blake3

from sheaf.errors import Corrupt, Refused
from sheaf.format import keys
from sheaf.format.arrow_v1 import read_batch
from sheaf.format.envelope import decode_envelope, encode_envelope
from sheaf.format.limits import MAX_CHILDREN, MAX_ROWS
from sheaf.format.node_columns_v1 import MAX_LEVEL, MAX_NODE, NodeHeader
from sheaf.model.entries import MAX_MODE, Kind, PlaceKind
from sheaf.model.ids import is_ksuid
from sheaf.model.nodes import Pointer
from sheaf.model.paths import MAX_NAME, MAX_PATH, common_folder, join, order_key, relative

__all__ = [
    "CHILDREN",
    "ROWS",
    "children_hashes",
    "cut_children",
    "cut_rows",
    "decode_children",
    "decode_rows",
    "encode_children",
    "encode_rows",
    "external_content",
    "hash32",
    "leaf_packs",
    "object_id",
    "packs_in",
    "row_hashes",
    "rows_prefix",
]

hash32 = pa.binary(32)
_USE = pa.list_(pa.struct([("pack", hash32), ("live", pa.int64())]))

#: A leaf's rows. `content` is zeros for folders; `url` is the session of an OBJECT or the address of an EXTERNAL file;
#: `packs` is set for RECIPE rows only: every pack with chunks or parts of the file, with the bytes used of each.
ROWS = pa.schema(
    [
        ("folder", pa.string()),
        ("name", pa.string()),
        ("kind", pa.uint8()),
        ("mode", pa.uint16()),
        ("mtime", pa.int64()),
        ("size", pa.int64()),
        ("content", hash32),
        ("target", pa.string()),
        ("attrs", pa.string()),
        ("place", pa.uint8()),
        ("pack", hash32),
        ("offset", pa.uint32()),
        ("stored", pa.uint32()),
        ("recipe", hash32),
        ("url", pa.string()),
        ("etag", pa.string()),
        ("packs", _USE),
    ]
)

#: An inner node's rows, one per child; `folder` and `prefix` are relative to the node's own prefix.
CHILDREN = pa.schema(
    [
        ("folder", pa.string()),
        ("name", pa.string()),
        ("prefix", pa.string()),
        ("rows", pa.int64()),
        ("size", pa.int64()),
        ("logical", hash32),
        ("full", hash32),
        ("id", hash32),
        ("length", pa.int64()),
        ("packs", _USE),
    ]
)

#: Columns without nulls, and columns without nulls in rows whose `place` is one of the given kinds.
_ALWAYS = {"folder", "name", "kind", "mode", "mtime", "size", "content", "place", *CHILDREN.names} - {"packs"}
_PACKED = (PlaceKind.CHUNK, PlaceKind.RECIPE)
_NEEDS: dict[str, tuple[PlaceKind, ...]] = {
    "pack": _PACKED,
    "offset": _PACKED,
    "stored": _PACKED,
    "recipe": (PlaceKind.RECIPE,),
    "url": (PlaceKind.OBJECT, PlaceKind.EXTERNAL),
}

_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 3))
_URL = r"^[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x1f\x7f]+$"
_SHOWN = 100  # characters of a bad name that a message shows


# -- bytes -------------------------------------------------------------------------------------------------------------


def _encode(session: str, level: int, batch: pa.RecordBatch) -> bytes:
    if batch.nbytes > MAX_NODE:
        raise Refused(
            f"{batch.num_rows} entries with {batch.nbytes} bytes of names and attributes do not fit into one node",
            "shorten them",
        )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    header = NodeHeader(session, level, batch.num_rows, batch.nbytes)
    return encode_envelope("N", header) + bytes(sink.getvalue())


def _decode(data: bytes, level: int, rows: int | None, schema: pa.Schema, what: str) -> pa.RecordBatch:
    header, payload = decode_envelope(data, "N", NodeHeader, what)
    if header.level != level or (rows is not None and header.rows != rows):
        raise Corrupt(f"{what} is not the node that its parent describes")
    known = read_batch(payload, schema, MAX_NODE, what)
    if known.num_rows != header.rows or known.num_rows > (MAX_CHILDREN if level else MAX_ROWS):
        raise Corrupt(f"{what} does not contain the rows that it claims")
    if any(known[name].null_count for name in _ALWAYS & set(schema.names)):
        raise Corrupt(f"{what} has rows with missing values")
    uses = known["packs"].flatten()
    if any(uses.field(name).null_count for name in ("pack", "live")):
        raise Corrupt(f"{what} has rows without a pack")
    return known


def encode_rows(session: str, batch: pa.RecordBatch, prefix: str) -> bytes:
    """Encode a leaf; ``batch`` (schema ROWS) has absolute folders, all at or below ``prefix``. Raises Refused if too large."""
    return _encode(session, 0, batch.set_column(0, "folder", _cut_prefix(batch["folder"], prefix)))


def decode_rows(data: bytes, pointer: Pointer) -> pa.RecordBatch:
    """Decode a leaf's rows with absolute folders, without checking its hash. Raises Corrupt or Unsupported."""
    batch = _decode(data, 0, pointer.rows, ROWS, f"node {pointer.id.hex()}")
    if any(_lacks(batch, name, places) for name, places in _NEEDS.items()):
        raise Corrupt(f"node {pointer.id.hex()} has files without a place")
    _check_rows(batch, pointer)
    return batch.set_column(0, ROWS.field("folder"), _add_prefix(batch["folder"], pointer.prefix))


def _check_rows(batch: pa.RecordBatch, pointer: Pointer) -> None:
    """Raise Corrupt for rows that the format doesn't allow, and for names that could lead out of a target folder."""
    what = f"node {pointer.id.hex()}"
    kind, place, size, mode = (batch[name].to_numpy() for name in ("kind", "place", "size", "mode"))
    if batch.num_rows and (kind.max() > max(Kind) or place.max() > max(PlaceKind) or size.min() < 0):
        raise Corrupt(f"{what} has a row with an invalid kind, place or size")
    if batch.num_rows and mode.max() > MAX_MODE:
        raise Corrupt(f"{what} has a row with bits other than permissions in its mode")
    # The session of a whole object becomes a part of a key, so it must be an id.
    if batch.num_rows and place.max() >= PlaceKind.OBJECT:
        sessions = batch.filter(pc.equal(batch["place"], int(PlaceKind.OBJECT)))["url"]
        _refuse(
            pa.array([not is_ksuid(text or "") for text in sessions.to_pylist()], pa.bool_()), sessions, "session", what
        )
        urls = batch.filter(pc.equal(batch["place"], int(PlaceKind.EXTERNAL)))["url"]
        _refuse(pc.invert(pc.match_substring_regex(urls, _URL)), urls, "URL", what)
    folders = pc.unique(batch["folder"])
    below = MAX_PATH - len(pointer.prefix.encode())
    long = pc.greater(pc.binary_length(batch["name"]), MAX_NAME)
    _refuse(pc.or_(_is_no_name(batch["name"]), long), batch["name"], "name", what)
    _refuse(pc.or_(_leads_out(folders), pc.greater(pc.binary_length(folders), below)), folders, "folder", what)


def _refuse(mask: pa.Array, column: pa.Array, noun: str, what: str) -> None:
    """Raise Corrupt for the first value that the mask selects."""
    for row in np.flatnonzero(mask.to_numpy(zero_copy_only=False)):
        raise Corrupt(f"{what} contains the invalid {noun} {column[row].as_py()[:_SHOWN]!r}", "run `sheaf store check`")


def _is_no_name(names: pa.Array) -> pa.Array:
    odd = pc.or_(pc.match_substring(names, "/"), pc.match_substring(names, "\0"))
    return pc.or_(odd, pc.is_in(names, pa.array(["", ".", ".."])))


def _leads_out(folders: pa.Array) -> pa.Array:
    """True for relative folders with an empty component, ``.``, ``..`` or a zero byte; the empty folder is fine."""
    odd = pc.match_substring_regex(folders, r"(^|/)\.{0,2}(/|$)|\x00")
    return pc.and_(odd, pc.not_equal(folders, ""))


def _lacks(batch: pa.RecordBatch, name: str, places: Sequence[PlaceKind]) -> bool:
    """True if a column is null in a row whose kind of placement needs it."""
    if not batch[name].null_count:
        return False
    needed = np.isin(batch["place"].to_numpy(), places)
    return bool(needed.any() and (needed & ~batch[name].is_valid().to_numpy(zero_copy_only=False)).any())


def encode_children(session: str, level: int, children: Sequence[Pointer], prefix: str) -> bytes:
    """Encode an inner node; all prefixes are at or below ``prefix``. Raises Refused if it is too large."""
    columns: dict[str, list[Any]] = {
        "folder": [relative(c.folder, prefix) for c in children],
        "name": [c.name for c in children],
        "prefix": [relative(c.prefix, prefix) for c in children],
        "packs": [[{"pack": pack, "live": live} for pack, live in c.packs] for c in children],
    }
    for field in ("rows", "size", "logical", "full", "id", "length"):
        columns[field] = [getattr(c, field) for c in children]
    return _encode(session, level, pa.RecordBatch.from_pydict(columns, schema=CHILDREN))


def decode_children(data: bytes, pointer: Pointer) -> list[Pointer]:
    """Decode an inner node's children, with absolute prefixes and keys. Raises Corrupt or Unsupported."""
    what = f"node {pointer.id.hex()}"
    if not 0 < pointer.level <= MAX_LEVEL:
        raise Corrupt(f"{what} has an invalid level {pointer.level}")
    batch = _decode(data, pointer.level, None, CHILDREN, what)
    c = {name: batch[name].to_pylist() for name in CHILDREN.names}
    children = [
        Pointer(
            c["id"][i],
            c["length"][i],
            pointer.level - 1,
            join(pointer.prefix, c["prefix"][i]),
            c["rows"][i],
            c["size"][i],
            c["logical"][i],
            c["full"][i],
            join(pointer.prefix, c["folder"][i]),
            c["name"][i],
            tuple((use["pack"], use["live"]) for use in c["packs"][i] or ()),
        )
        for i in range(batch.num_rows)
    ]
    if not children or sum(child.rows for child in children) != pointer.rows:
        raise Corrupt(f"{what} does not have the number of rows that its parent gives")
    _check_children(batch, children, what)
    return children


def _check_children(batch: pa.RecordBatch, children: Sequence[Pointer], what: str) -> None:
    """Raise Corrupt unless the children ascend, have rows and bytes, and are below their parent."""
    _refuse(_is_no_name(batch["name"]), batch["name"], "name", what)
    for column in ("folder", "prefix"):
        _refuse(_leads_out(batch[column]), batch[column], "folder", what)
    firsts = [order_key(child.folder, child.name) for child in children]
    if any(left >= right for left, right in pairwise(firsts)):
        raise Corrupt(f"{what} has children that are out of order")
    if any(child.rows < 1 or child.size < 0 or child.length < 1 for child in children):
        raise Corrupt(f"{what} has a child without rows or bytes")


def _cut_prefix(folder: pa.Array, prefix: str) -> pa.Array:
    return _each_folder(folder, lambda path: relative(path, prefix)) if prefix else folder


def _add_prefix(folder: pa.Array, prefix: str) -> pa.Array:
    return _each_folder(folder, lambda path: join(prefix, path)) if prefix else folder


def _each_folder(folder: pa.Array, change: Callable[[str], str]) -> pa.Array:
    # A leaf has many rows in few folders, so each folder is changed only once.
    few = folder.dictionary_encode()
    changed = [change(path) for path in few.dictionary.to_pylist()]
    return pa.array(changed, pa.string()).take(few.indices)


# -- canonical hashes --------------------------------------------------------------------------------------------------


def _texts(column: pa.Array) -> bytes:
    """Encode texts: their lengths (i32, -1 for null), then the bytes one after the other."""
    lengths = pc.binary_length(column).fill_null(-1).to_numpy(zero_copy_only=False).astype("<i4")
    kept = column.drop_null()
    return bytes(lengths) + b"".join(kept.cast(pa.binary()).to_pylist())


def _fixed(column: pa.Array, dtype: str) -> bytes:
    return bytes(column.to_numpy(zero_copy_only=False).astype(dtype))


def hashes_array(column: pa.Array) -> npt.NDArray[np.uint8]:
    """Return a non-null binary(32) column as an (n, 32) array."""
    n = len(column)
    if not n:
        return np.zeros((0, 32), np.uint8)
    start = column.offset * 32
    flat: npt.NDArray[np.uint8] = np.frombuffer(column.buffers()[1], np.uint8, n * 32, start)
    return flat.reshape(n, 32)


def kinds(batch: pa.RecordBatch) -> npt.NDArray[np.uint8]:
    """The kind of each row, plus 16 for a file that its owner may execute."""
    kind = batch["kind"].to_numpy()
    mode = batch["mode"].to_numpy()
    is_file = (kind == Kind.FILE) | (kind == Kind.EXTERNAL)
    codes: npt.NDArray[np.uint8] = (kind | np.where(is_file & (mode & 0o100 != 0), 16, 0)).astype(np.uint8)
    return codes


def rows_prefix(batch: pa.RecordBatch) -> str:
    """The longest folder common to all rows. They are sorted, so the first and the last decide."""
    n = batch.num_rows
    return common_folder(batch["folder"][0].as_py(), batch["folder"][n - 1].as_py()) if n else ""


def row_hashes(batch: pa.RecordBatch, prefix: str) -> tuple[bytes, bytes]:
    """The hashes (logical, full) of a leaf with these rows (docs/format/v1.md, "Hashes of a node")."""
    n = struct.pack("<I", batch.num_rows)
    logical = blake3(b"sheaf leaf logical 1\n" + n)
    logical.update(kinds(batch).tobytes())
    logical.update(hashes_array(batch["content"]).tobytes())
    logical.update(_texts(batch["name"]))
    logical.update(_texts(_cut_prefix(batch["folder"], prefix)))
    full = blake3(b"sheaf leaf full 1\n" + logical.digest())
    for name, dtype in (("mode", "<u2"), ("mtime", "<i8"), ("size", "<i8"), ("place", "u1")):
        full.update(_fixed(batch[name], dtype))
    external = pc.equal(batch["place"], int(PlaceKind.EXTERNAL))
    for column in (batch["attrs"], pc.if_else(external, batch["url"], None), pc.if_else(external, batch["etag"], None)):
        full.update(_texts(column))
    return logical.digest(), full.digest()


def external_content(url: str, size: int, etag: str) -> bytes:
    """The `content` of an external file whose bytes were never hashed: a hash of its URL, size and ETag."""
    texts = _texts(pa.array([url, etag], pa.string()))
    return blake3(b"sheaf external 1\n" + texts + struct.pack("<q", size)).digest()


def children_hashes(level: int, children: Sequence[Pointer], prefix: str) -> tuple[bytes, bytes]:
    """The hashes (logical, full) of an inner node (docs/format/v1.md, "Hashes of a node")."""
    logical = blake3(b"sheaf node logical 1\n" + struct.pack("<II", level, len(children)))
    for child in children:
        below = relative(child.prefix, prefix).encode()
        logical.update(child.logical + struct.pack("<QI", child.rows, len(below)) + below)
    full = blake3(b"sheaf node full 1\n" + logical.digest())
    full.update(b"".join(child.full for child in children))
    return logical.digest(), full.digest()


# -- where nodes end ---------------------------------------------------------------------------------------------------


def cut_rows(batch: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """For each row: whether a leaf may end after it, and its weight in bytes (name and symlink target)."""
    names = batch["name"].cast(pa.binary()).to_pylist()
    crc = np.fromiter(map(crc32, names), np.uint32, len(names))
    content = np.ascontiguousarray(hashes_array(batch["content"])[:, :4]).view("<u4").reshape(-1)
    mixed = (crc ^ content ^ kinds(batch)) * np.uint32(0x9E3779B1)
    target = pc.binary_length(batch["target"]).fill_null(0).to_numpy(zero_copy_only=False)
    weight = pc.binary_length(batch["name"]).to_numpy(zero_copy_only=False).astype(np.int64) + target
    return mixed >> np.uint32(20) == 0, weight


def cut_children(child: Pointer) -> bool:
    """True if an inner node may end after this child."""
    return int.from_bytes(child.logical[:4], "little") % 1024 == 0


# -- packs -------------------------------------------------------------------------------------------------------------


def leaf_packs(batch: pa.RecordBatch) -> tuple[tuple[bytes, int], ...]:
    """The packs that a leaf's files need, with the stored bytes that they use of each, sorted by pack.

    A whole object counts as a pack whose id is the BLAKE3 of its key, so that gc learns of it without reading leaves.
    """
    uses: dict[bytes, int] = {}
    chunks = batch.filter(pc.equal(batch["place"], int(PlaceKind.CHUNK)))
    if chunks.num_rows:
        packs = chunks["pack"].dictionary_encode()
        # bincount adds doubles, which are exact up to 8 PiB.
        sums = np.bincount(packs.indices.to_numpy(), chunks["stored"].to_numpy())
        uses.update(zip(packs.dictionary.to_pylist(), sums.astype(np.int64).tolist(), strict=True))
    for packs in batch["packs"].drop_null().to_pylist():
        for use in packs:
            uses[use["pack"]] = uses.get(use["pack"], 0) + use["live"]
    whole = batch.filter(pc.equal(batch["place"], int(PlaceKind.OBJECT)))
    for session, content, size in zip(*(whole[name].to_pylist() for name in ("url", "content", "size")), strict=True):
        uses[object_id(keys.stored_object(session, content))] = size
    return tuple(sorted(uses.items()))


def object_id(key: str) -> bytes:
    """The id of a whole object in a leaf's list of packs."""
    return blake3(key.encode()).digest()


def packs_in(data: bytes, what: str) -> set[bytes]:
    """The packs that a node of any level names, from its bytes alone. Raises Corrupt or Unsupported."""
    header, _ = decode_envelope(data, "N", NodeHeader, what)
    if header.level == 0:
        return {pack for pack, _ in leaf_packs(_decode(data, 0, None, ROWS, what))}
    uses = _decode(data, header.level, None, CHILDREN, what)["packs"].to_pylist()
    return {use["pack"] for packs in uses for use in packs or ()}
