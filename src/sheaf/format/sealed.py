"""Sealed JSON: an object that begins with its kind and ends with its own hash (docs/format/v1.md, "Sealed JSON").

    {"sheaf":"<kind>/1", …fields…, "blake3":"<64 hex digits>"}\\n

The hash covers every byte before ``,"blake3":``. Log records, sessions, notices and ``sheaf.json`` are such objects.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from sheaf.errors import Corrupt, Unsupported
from sheaf.format.envelope import NOT_JSON

__all__ = ["seal", "unfit", "unseal"]

_VERSION = 1
_TAIL = len(b',"blake3":"') + 64 + len(b'"}\n')
T = TypeVar("T")


class _Kind(msgspec.Struct):
    sheaf: str


def seal(kind: str, value: Any) -> bytes:
    """Encode a struct as sealed JSON."""
    fields = msgspec.json.encode(value)[1:-1]
    body = b'{"sheaf":"%s/%d"' % (kind.encode(), _VERSION) + (b"," + fields if fields else b"")
    return body + b',"blake3":"' + blake3(body).hexdigest().encode() + b'"}\n'


def unfit(error: msgspec.ValidationError, what: str) -> Corrupt | Unsupported:
    """The error for content of the wrong shape: Corrupt if one of our structs rejected a value, else Unsupported."""
    if isinstance(error.__cause__, ValueError):
        return Corrupt(f"{what}: {error}", "run `sheaf store check`")
    return Unsupported(f"{what}: {error}", "upgrade sheaf-data")


def unseal(data: bytes, kind: str, struct: type[T], what: str) -> T:
    """Decode sealed JSON to a struct, after checking hash and kind.

    Raises:
        Corrupt: torn or flipped bytes, or an impossible value; ``what`` names the object.
        Unsupported: a newer version of this kind, or content that this program doesn't know.
    """
    body = data[:-_TAIL]
    if data[-_TAIL:] != b',"blake3":"' + blake3(body).hexdigest().encode() + b'"}\n':
        raise Corrupt(f"{what} is damaged: its bytes don't match its own hash")
    try:
        said, _, version = msgspec.json.decode(data, type=_Kind).sheaf.partition("/")
        if said != kind:
            raise Corrupt(f"{what} is not a {kind} but a '{said}'", "run `sheaf store check`")
        if version != str(_VERSION):
            raise Unsupported(f"{what} is '{said}/{version}', which this Sheaf can't read", "upgrade sheaf-data")
        return msgspec.json.decode(data, type=struct)
    except msgspec.ValidationError as error:
        raise unfit(error, f"{what} contains something that this Sheaf can't read") from error
    except NOT_JSON as error:
        raise Corrupt(f"{what} is not JSON: {error}") from error
