"""What every binary object begins with (docs/format/v1.md, "Envelope").

    0   4  magic: "SHF" and a letter for the kind
    4   2  version of that kind: 1
    6   2  flags: 0 (bit 0 is reserved for encrypted payloads)
    8   4  length of the header
    12  …  header: one JSON object, padded with spaces so that the payload begins at a multiple of 8

Numbers are little-endian. Objects that no hash names or covers are sealed: they end with the BLAKE3 of all before it.
Flags that a reader doesn't know make it refuse the object; header fields that it doesn't know are ignored.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from sheaf.errors import Corrupt, Unsupported

__all__ = ["NOT_JSON", "SEALED_KINDS", "decode_envelope", "encode_envelope", "header_span", "read_header", "sealed"]

#: Kinds that end with their own hash: nothing else would notice a flipped bit in them.
SEALED_KINDS = frozenset("CLM")

#: What msgspec raises for bytes that are not JSON of the right type.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_FIXED = struct.Struct("<4sHHI")
_SEAL = 32
_VERSION = 1
H = TypeVar("H")


def encode_envelope(kind: str, header: Any) -> bytes:
    """The envelope of an object of this kind (one letter); the payload follows it. ``header``: a struct or dict."""
    text = msgspec.json.encode(header)
    text += b" " * (-(_FIXED.size + len(text)) % 8)
    return _FIXED.pack(b"SHF" + kind.encode(), _VERSION, 0, len(text)) + text


def sealed(data: bytes) -> bytes:
    """An object of one of :data:`SEALED_KINDS` with the hash that it ends with."""
    return data + blake3(data).digest()


def header_span(data: bytes | memoryview) -> tuple[int, int]:
    """Where the header begins, and where the payload does. ``data``: at least the first 12 bytes of an object."""
    return _FIXED.size, _FIXED.size + int(_FIXED.unpack_from(data)[3])


def read_header(data: bytes | memoryview, kind: str, type: type[H], what: str) -> tuple[H, int]:
    """The header as ``type`` and the offset at which the payload begins.

    Raises:
        Corrupt: this is no object of that kind; ``what`` names it.
        Unsupported: a newer version, or flags that this program doesn't know.
    """
    view = memoryview(data)
    if len(view) < _FIXED.size:
        raise Corrupt(f"{what} is truncated: {len(view)} bytes")
    magic, version, flags, _ = _FIXED.unpack_from(view)
    if magic != b"SHF" + kind.encode():
        raise Corrupt(f"{what} is not the expected kind of object: it begins with {bytes(magic)!r}")
    if version != _VERSION or flags:
        raise Unsupported(f"{what} needs a newer Sheaf (version {version}, flags {flags})", "upgrade sheaf-data")
    start, end = header_span(view)
    try:
        return msgspec.json.decode(view[start:end], type=type), end
    except NOT_JSON as error:
        raise Corrupt(f"{what} has a damaged header: {error}") from error


def decode_envelope(data: bytes | memoryview, kind: str, type: type[H], what: str) -> tuple[H, memoryview]:
    """Header and payload; raises as :func:`read_header`, and Corrupt if the object doesn't match its own seal."""
    header, start = read_header(data, kind, type, what)
    end = len(data)
    if kind in SEALED_KINDS:
        end -= _SEAL
        if end < start or blake3(data[:end]).digest() != data[end:]:
            raise Corrupt(f"{what} is damaged: its bytes don't match its own hash")
    return header, memoryview(data)[start:end]
