"""The envelope with which every binary object begins (docs/format/v1.md, "Envelope").

    0   4  magic: "SHF" and a letter for the kind
    4   2  version of that kind: 1
    6   2  flags: 0 (bit 0 is reserved for encrypted payloads)
    8   4  length of the header
    12  …  header: one JSON object, padded with spaces so that the payload begins at a multiple of 8

Numbers are little-endian. Objects that no hash names or covers are sealed: they end with the BLAKE3 hash of all bytes
before. Readers must reject objects with flags that they don't know, and ignore header fields that they don't know.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from sheaf.errors import Corrupt, Unsupported

__all__ = ["NOT_JSON", "SEALED_KINDS", "decode_envelope", "encode_envelope", "header_span", "read_header", "sealed"]

#: Kinds that end with their own hash, since nothing else would detect a flipped bit in them.
SEALED_KINDS = frozenset("CLM")

#: What msgspec raises for bytes that are not JSON of the expected type.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_FIXED = struct.Struct("<4sHHI")
_SEAL = 32
_VERSION = 1
H = TypeVar("H")


def encode_envelope(kind: str, header: Any) -> bytes:
    """Encode the envelope of an object of this kind (one letter), which the payload follows. ``header``: a struct or dict."""
    text = msgspec.json.encode(header)
    text += b" " * (-(_FIXED.size + len(text)) % 8)
    return _FIXED.pack(b"SHF" + kind.encode(), _VERSION, 0, len(text)) + text


def sealed(data: bytes) -> bytes:
    """Append the hash with which an object of one of :data:`SEALED_KINDS` ends."""
    return data + blake3(data).digest()


def header_span(data: bytes | memoryview) -> tuple[int, int]:
    """The offsets of the header and of the payload. ``data``: at least the first 12 bytes of an object."""
    return _FIXED.size, _FIXED.size + int(_FIXED.unpack_from(data)[3])


def read_header(data: bytes | memoryview, kind: str, header_type: type[H], what: str) -> tuple[H, int]:
    """Return the header as ``header_type``, and the offset at which the payload begins.

    Raises:
        Corrupt: it is not an object of that kind; ``what`` names it.
        Unsupported: it has a newer version, or flags that this program doesn't know.
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
        return msgspec.json.decode(view[start:end], type=header_type), end
    except NOT_JSON as error:
        raise Corrupt(f"{what} has a damaged header: {error}") from error


def decode_envelope(data: bytes | memoryview, kind: str, header_type: type[H], what: str) -> tuple[H, memoryview]:
    """Return header and payload. Raises what :func:`read_header` raises, and Corrupt if the seal doesn't match."""
    header, start = read_header(data, kind, header_type, what)
    end = len(data)
    if kind in SEALED_KINDS:
        end -= _SEAL
        if end < start or blake3(data[:end]).digest() != data[end:]:
            raise Corrupt(f"{what} is damaged: its bytes don't match its own hash")
    return header, memoryview(data)[start:end]
