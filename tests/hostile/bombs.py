"""Small objects that would be large ones, each opened in a process of its own whose memory is measured.

    python -m tests.hostile.bombs NAME [FOLDER]

prints what came of it and the largest size that the process had, in bytes.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard
from blake3 import blake3
from tests.format.samples import ID, digest, leaf, record

from sheaf.engine.chunks.chunk_reader import opened
from sheaf.errors import SheafError
from sheaf.format.envelope import encode_envelope, header_span, sealed
from sheaf.format.frame_v1 import ZSTD
from sheaf.format.index_v1 import decode_index
from sheaf.format.moved_v1 import decode_moved
from sheaf.format.node_v1 import decode_rows
from sheaf.format.pack_v1 import TRAILER, decode_table
from sheaf.format.recipe_v1 import decode_part
from sheaf.format.record_v1 import decode_page, decode_record
from sheaf.format.sealed import seal
from sheaf.format.session_v1 import decode_condemned

GIB = 1 << 30
HUGE = 1 << 40


def zeros(size: int) -> bytes:
    """A zstd frame of so many zeros, made without ever holding them."""
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=size)
    block = bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(size >> 20)), packer.flush()])


def chunk() -> None:
    opened(memoryview(ZSTD + zeros(GIB)), digest(0), GIB, digest(1), 0)


def part() -> None:
    opened(memoryview(ZSTD + zeros(GIB)), digest(0), -1, digest(1), 0)


def page() -> None:
    decode_page(sealed(encode_envelope("L", {"first": 0, "size": GIB}) + zeros(GIB)), "page")


def record_of_values() -> None:
    ops = msgspec.Raw(b"[" + b"[]," * 8_000_000 + b"[]]")
    decode_record(seal("record", {"n": 0, "write": "w", "prev": "", "time": "t", "ops": ops}), "record")


def page_of_values() -> None:
    lines = b'{"ops":[' + b"[]," * 20_000_000 + b"[]]}\n"
    head = encode_envelope("L", {"first": 0, "size": len(lines)})
    decode_page(sealed(head + zstandard.compress(lines, 1)), "page")


def node_that_is_one() -> None:
    """A leaf whose compressed buffers really are large; made before by another process."""
    decode_rows(Path(sys.argv[2]).read_bytes(), leaf()[1])


def node_that_lies() -> None:
    """A leaf with each word of it in turn replaced by a huge number: one of them is the length of a buffer."""
    data, pointer = leaf()
    said = 0
    for at in range(header_span(data)[1], len(data) - 8, 8):
        for size in (HUGE, 1 << 62, GIB):
            try:
                decode_rows(data[:at] + size.to_bytes(8, "little") + data[at + 8 :], pointer)
            except SheafError as error:
                said += "are allowed" in error.message
    if said < 3:
        raise AssertionError("no buffer's length was met")
    decode_rows(b"", pointer)


def columns(kind: str, decode: Callable[[bytes, str], object], **header: object) -> Callable[[], None]:
    """An object of a few bytes that says it has a million million rows."""

    def run() -> None:
        data = encode_envelope(kind, header) + bytes(64)
        decode(sealed(data) if kind in "CLM" else data, "object")

    return run


def table() -> None:
    body = bytes(40)
    decode_table(body + TRAILER.pack(0xFFFFFFFF, 40, blake3(body).digest(), b"SHFPend\0"), HUGE, "pack")


def nested() -> None:
    deep = b"[" * 50_000_000
    decode_record(seal("record", record(1)) + deep, "record")


BOMBS: dict[str, Callable[[], None]] = {
    "chunk": chunk,
    "part": part,
    "page": page,
    "record-of-values": record_of_values,
    "page-of-values": page_of_values,
    "node-that-is-one": node_that_is_one,
    "node-that-lies": node_that_lies,
    "index": columns("I", decode_index, session=ID, count=HUGE, packs=1),
    "index-of-packs": columns("I", decode_index, session=ID, count=0, packs=1 << 62),
    "moved": columns("M", decode_moved, count=HUGE, packs=0),
    "recipe": columns("R", decode_part, level=0, count=HUGE, packs=1),
    "condemned": columns("C", decode_condemned, generation="g", dead_packs=HUGE, moving_packs=0, dead_nodes=0),
    "pack": table,
    "nested": nested,
}


def main() -> None:
    try:
        BOMBS[sys.argv[1]]()
        outcome = "accepted"
    except SheafError as error:
        outcome = f"{error.kind}: {error.message}"
    print(peak(), outcome)


def peak() -> int:
    """The most memory that this process had. On Linux what getrusage says is also that of whoever started it."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


if __name__ == "__main__":
    main()
