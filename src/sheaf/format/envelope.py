"""What every binary object begins with (docs/format/v1.md, "Envelope").

    0   4  magic: "SHF" and a letter for the kind
    4   1  version of that kind: 1
    5   1  flags: 0 (bit 0 is reserved for encrypted payloads)
    6   2  length of the header, little-endian
    8   …  header: one JSON object, padded with spaces so that the payload begins at a multiple of 8

Flags that a reader doesn't know make it refuse the object; header fields that it doesn't know are ignored.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import msgspec

from sheaf.errors import Corrupt, Unsupported

__all__ = ["decode_envelope", "encode_envelope", "read_header"]

_FIXED = struct.Struct("<4sBBH")
_VERSION = 1
H = TypeVar("H")


def encode_envelope(kind: str, header: Any) -> bytes:
    """The envelope of an object of this kind (one letter); the payload follows it. ``header``: a struct or dict."""
    text = msgspec.json.encode(header)
    text += b" " * (-(_FIXED.size + len(text)) % 8)
    return _FIXED.pack(b"SHF" + kind.encode(), _VERSION, 0, len(text)) + text


def read_header(data: bytes | memoryview, kind: str, type: type[H], what: str) -> tuple[H, int]:
    """The header as ``type`` and the offset at which the payload begins.

    Raises:
        Corrupt: this is no object of that kind; ``what`` names it.
        Unsupported: a newer version, or flags that this program doesn't know.
    """
    view = memoryview(data)
    if len(view) < _FIXED.size:
        raise Corrupt(f"{what} is cut short: {len(view)} bytes")
    magic, version, flags, length = _FIXED.unpack_from(view)
    if magic != b"SHF" + kind.encode():
        raise Corrupt(f"{what} is not what it should be: it begins with {bytes(magic)!r}")
    if version != _VERSION or flags:
        raise Unsupported(f"{what} needs a newer Sheaf (version {version}, flags {flags})", "upgrade sheaf-data")
    end = _FIXED.size + length
    try:
        return msgspec.json.decode(view[_FIXED.size : end], type=type), end
    except msgspec.MsgspecError as error:
        raise Corrupt(f"{what} has a damaged header: {error}") from error


def decode_envelope(data: bytes | memoryview, kind: str, type: type[H], what: str) -> tuple[H, memoryview]:
    """Header and payload; raises as :func:`read_header`."""
    header, start = read_header(data, kind, type, what)
    return header, memoryview(data)[start:]
