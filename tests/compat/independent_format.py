"""The format once more, written from docs/format/v1.md alone: bytes to values, canonical hashes, cut rules.

Nothing here may import Sheaf; a test runs it where Sheaf can't be imported.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import zstandard
from blake3 import blake3

FILE, SYMLINK, FOLDER, EXTERNAL = range(4)
NO_PLACE, CHUNK, RECIPE, OBJECT, ELSEWHERE = range(5)
SEALED = b"CLM"
Row = dict[str, Any]


class Damaged(Exception):
    """Something is not what the specification says."""


def demand(claim: bool, what: str) -> None:
    """Raise Damaged unless the claim holds."""
    if not claim:
        raise Damaged(what)


def b3(data: bytes | memoryview) -> bytes:
    """BLAKE3-256."""
    return blake3(data).digest()


# -- sealed JSON, envelopes, columns -----------------------------------------------------------------------------------


def unseal(data: bytes, kind: str) -> dict[str, Any]:
    """A sealed JSON object without its first and last field."""
    body, mark, tail = data.rpartition(b',"blake3":"')
    demand(bool(mark) and tail == b3(body).hex().encode() + b'"}\n', f"{kind}: seal")
    value: dict[str, Any] = json.loads(data)
    demand(value.pop("sheaf") == f"{kind}/1", f"{kind}: kind")
    del value["blake3"]
    return value


def open_envelope(data: bytes, kind: bytes) -> tuple[dict[str, Any], bytes, int]:
    """Header, payload, and where the payload begins."""
    magic, version, flags, length = struct.unpack_from("<4sHHI", data)
    demand(magic == b"SHF" + kind and version == 1 and flags == 0, f"envelope {kind!r}")
    end = len(data)
    if kind in SEALED:
        end -= 32
        demand(b3(data[:end]) == data[end:], f"seal of {kind!r}")
    start = 12 + length
    demand(start % 8 == 0 and start <= end, f"header of {kind!r}")
    return json.loads(data[12:start]), data[start:end], start


def columns(payload: bytes, widths: Sequence[tuple[int, int]]) -> Iterator[list[bytes]]:
    """Fixed-width columns of (bytes a value, number of values), each padded to a multiple of 8."""
    at = 0
    for width, count in widths:
        raw = payload[at : at + width * count]
        demand(len(raw) == width * count, "column")
        yield [raw[i : i + width] for i in range(0, len(raw), width)]
        at += len(raw) + -len(raw) % 8


def number(raw: bytes) -> int:
    """A little-endian number."""
    return int.from_bytes(raw, "little")


# -- packs and recipes -------------------------------------------------------------------------------------------------


def unframe(frame: bytes) -> bytes:
    """The chunk inside a frame."""
    demand(frame[:1] in (b"\0", b"\1"), "codec")
    try:
        return frame[1:] if frame[:1] == b"\0" else zstandard.ZstdDecompressor().decompress(frame[1:])
    except zstandard.ZstdError as error:
        raise Damaged(str(error)) from error


def pack_id(session: str, ordinal: int) -> bytes:
    """The id of a session's nth pack."""
    return b3(b"sheaf pack 1\n" + session.encode() + struct.pack("<I", ordinal))


def read_pack(data: bytes, id: bytes) -> dict[int, tuple[bytes, int]]:
    """Offset to (hash, stored length) of every frame, after checking all of the pack."""
    header, _, at = open_envelope(data, b"P")
    demand(pack_id(header["session"], header["ordinal"]) == id, "pack id")
    count, length, digest, end = struct.unpack("<II32s8s", data[-48:])
    table = data[-48 - length : -48]
    demand(end == b"SHFPend\0" and b3(table) == digest, "pack table")
    frames: dict[int, tuple[bytes, int]] = {}
    for hash, raw, stored in zip(*columns(table, [(32, count), (4, count), (4, count)]), strict=True):
        chunk = unframe(data[at : at + number(stored)])
        demand(b3(chunk) == hash and len(chunk) == number(raw), "chunk in pack")
        frames[at] = hash, number(stored)
        at += number(stored)
    demand(at == len(data) - 48 - length, "frames of pack")
    return frames


@dataclass(frozen=True)
class Part:
    """One row of a recipe."""

    hash: bytes
    length: int
    pack: bytes
    offset: int
    stored: int


def read_part(data: bytes) -> tuple[int, list[Part]]:
    """Level and rows of a recipe's part."""
    header, payload, _ = open_envelope(data, b"R")
    n, packs = header["count"], header["packs"]
    table = list(columns(payload, [(32, packs), (32, n), (8, n), (4, n), (4, n), (4, n)]))
    rows = [
        Part(hash, number(length), table[0][number(pack)], number(offset), number(stored))
        for hash, length, pack, offset, stored in zip(*table[1:], strict=True)
    ]
    return header["level"], rows


def read_moved(data: bytes) -> dict[int, tuple[bytes, int, int] | None]:
    """Old offset to (pack, offset, stored length), or None where the chunk was erased."""
    header, payload, _ = open_envelope(data, b"M")
    n = header["count"]
    packs, old, pack, offset, stored = columns(payload, [(32, header["packs"]), *[(4, n)] * 4])
    return {
        number(o): None if p == b"\xff" * 4 else (packs[number(p)], number(at), number(s))
        for o, p, at, s in zip(old, pack, offset, stored, strict=True)
    }


def cut_parts(rows: Sequence[Part]) -> list[list[Part]]:
    """How the chunks of a file are grouped into parts."""
    parts: list[list[Part]] = [[]]
    for row in rows:
        parts[-1].append(row)
        if len(parts[-1]) == 1024 or (len(parts[-1]) >= 16 and row.hash[0] == 0):
            parts.append([])
    return [part for part in parts if part]


# -- nodes -------------------------------------------------------------------------------------------------------------


def read_node(data: bytes, level: int) -> list[Row]:
    """The rows of a node, as they are on disk."""
    header, payload, _ = open_envelope(data, b"N")
    demand(header["level"] == level, "level of node")
    table = pa.ipc.open_stream(io.BytesIO(payload)).read_all()
    demand(table.num_rows == header["rows"], "rows of node")
    rows: list[Row] = table.to_pylist()
    return rows


def _texts(values: Sequence[str | None]) -> bytes:
    raw = [None if value is None else value.encode() for value in values]
    lengths = [-1 if value is None else len(value) for value in raw]
    return struct.pack(f"<{len(raw)}i", *lengths) + b"".join(value for value in raw if value is not None)


def kind_code(row: Row) -> int:
    """Kind, plus 16 for a file that its owner may execute."""
    return int(row["kind"]) + (16 if row["kind"] in (FILE, EXTERNAL) and row["mode"] & 0o100 else 0)


def leaf_hashes(rows: Sequence[Row]) -> tuple[bytes, bytes]:
    """(logical, full) of a leaf; folders are relative to its prefix."""
    n = len(rows)
    logical = b3(
        b"sheaf leaf logical 1\n"
        + struct.pack("<I", n)
        + bytes(map(kind_code, rows))
        + b"".join(row["content"] for row in rows)
        + _texts([row["name"] for row in rows])
        + _texts([row["folder"] for row in rows])
    )
    outside = [row if row["place"] == ELSEWHERE else {"url": None, "etag": None} for row in rows]
    full = b3(
        b"sheaf leaf full 1\n"
        + logical
        + struct.pack(f"<{n}H", *(row["mode"] for row in rows))
        + struct.pack(f"<{n}q", *(row["mtime"] for row in rows))
        + struct.pack(f"<{n}q", *(row["size"] for row in rows))
        + bytes(row["place"] for row in rows)
        + _texts([row["attrs"] for row in rows])
        + _texts([row["url"] for row in outside])
        + _texts([row["etag"] for row in outside])
    )
    return logical, full


def inner_hashes(level: int, children: Sequence[Row]) -> tuple[bytes, bytes]:
    """(logical, full) of an inner node; prefixes are relative to its own."""
    parts = [b"sheaf node logical 1\n", struct.pack("<II", level, len(children))]
    for child in children:
        prefix = child["prefix"].encode()
        parts += [child["logical"], struct.pack("<QI", child["rows"], len(prefix)), prefix]
    logical = b3(b"".join(parts))
    return logical, b3(b"sheaf node full 1\n" + logical + b"".join(child["full"] for child in children))


def external_content(url: str, size: int, etag: str) -> bytes:
    """The `content` of a file elsewhere whose bytes nobody has hashed."""
    return b3(b"sheaf external 1\n" + _texts([url, etag]) + struct.pack("<q", size))


def order(folder: str, name: str) -> tuple[list[bytes], bytes]:
    """What rows are sorted by."""
    return [part.encode() for part in folder.split("/")] if folder else [], name.encode()


def may_end_leaf(row: Row) -> bool:
    """Whether a leaf may end after this row."""
    mixed = zlib.crc32(row["name"].encode()) ^ number(row["content"][:4]) ^ kind_code(row)
    return mixed * 0x9E3779B1 % 2**32 < 2**20


def cut_leaves(rows: Sequence[Row]) -> list[int]:
    """How many rows each leaf has, if these rows begin where a leaf does. The last one may not be complete."""
    counts, weight = [0], 0
    for row in rows:
        counts[-1] += 1
        weight += len(row["name"].encode()) + len((row["target"] or "").encode())
        if (counts[-1] >= 1024 and may_end_leaf(row)) or counts[-1] == 16384 or weight >= 1 << 20:
            counts.append(0)
            weight = 0
    return counts


def cut_inner(children: Sequence[Row]) -> list[int]:
    """How many children each inner node has, if these begin where one does. The last one may not be complete."""
    counts = [0]
    for child in children:
        counts[-1] += 1
        if (counts[-1] >= 256 and number(child["logical"][:4]) % 1024 == 0) or counts[-1] == 4096:
            counts.append(0)
    return counts


def common_folder(folders: Sequence[str]) -> str:
    """The longest folder that all share."""
    shared = []
    for parts in zip(*(folder.split("/") for folder in folders), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "/".join(shared)


# -- chunks ------------------------------------------------------------------------------------------------------------

GEAR = [int.from_bytes(hashlib.md5(bytes([i]) * 64).digest()[:8], "big") for i in range(256)]
MASK_S, MASK_L = 0x0000D90703537000, 0x0000D90F03530000


def chunk_lengths(data: bytes, low: int = 16384, avg: int = 65536, high: int = 262144) -> list[int]:
    """Where a file is cut: the lengths of its chunks."""
    lengths, start = [], 0
    while start < len(data):
        lengths.append(_chunk(memoryview(data)[start : start + high], low, avg))
        start += lengths[-1]
    return lengths


def database_lengths(data: bytes, piece: int, low: int = 16384) -> list[int]:
    """Where a file is cut by a store whose chunker has ``sqlite``."""
    if len(data) <= low or data[:16] != b"SQLite format 3\0":
        return chunk_lengths(data)
    return [min(piece, len(data) - at) for at in range(0, len(data), piece)]


def _chunk(data: memoryview, low: int, avg: int) -> int:
    if len(data) <= low:
        return len(data)
    value, center = 0, min(avg, len(data)) & ~1
    for at in range(low, len(data) & ~1):
        value = ((value << 1) + GEAR[data[at]]) & 0xFFFFFFFFFFFFFFFF
        if not value & (MASK_S if at < center else MASK_L):
            return at
    return len(data)
