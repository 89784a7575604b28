"""Log records: sealed JSON of kind ``record``; and the pages that combine 1,000 of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import zstandard

from sheaf.errors import Corrupt
from sheaf.format.envelope import NOT_JSON, decode_envelope, encode_envelope, sealed
from sheaf.format.inflate import inflate
from sheaf.format.sealed import seal, unfit, unseal
from sheaf.model.records import Record

__all__ = [
    "PAGE_RECORDS",
    "decode_ops",
    "decode_page",
    "decode_record",
    "encode_page",
    "encode_record",
    "merge",
    "patch",
]

PAGE_RECORDS = 1000
_MAX_PAGE = 64 << 20  # bytes; a page is only a copy, so a log whose page is too large is read record by record
_MANY = 1 << 20  # bytes; the values of larger records are counted before they are decoded
_MAX_VALUES = 1 << 20  # each takes some 60 bytes of memory, but may have only three bytes in a page
T = TypeVar("T")


class PageHeader(msgspec.Struct, frozen=True):
    """``first``: the number of the page's first record; ``size``: bytes of the decompressed payload."""

    first: int
    size: int


def encode_record(record: Record) -> bytes:
    """Encode a record as sealed JSON of kind ``record``."""
    return seal("record", record)


def decode_record(data: bytes, what: str) -> Record:
    """Decode a record; operations and states stay plain JSON values, see :func:`decode_ops`. Raises Corrupt, Unsupported."""
    if len(data) > _MANY and sum(map(data.count, (b",", b"[", b"{"))) > 2 * _MAX_VALUES:
        raise Corrupt(f"{what} contains more values than a record may have")
    return unseal(data, "record", Record, what)


def decode_ops(value: Any, struct: type[T], what: str) -> T:
    """Convert JSON values (operations or a state) to ``struct``. Raises Corrupt; Unsupported if a newer Sheaf wrote it."""
    try:
        return msgspec.convert(value, struct)
    except RecursionError:
        raise Corrupt(f"{what} is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise unfit(error, f"{what} contains an operation that this Sheaf doesn't support") from error


def encode_page(records: Sequence[Record]) -> bytes:
    """Encode 1,000 consecutive records without states, one a line. Before compression every writer gets the same bytes."""
    slim = [msgspec.structs.replace(record, state=None, since=-1, delta=None) for record in records]
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in slim)
    return sealed(encode_envelope("L", PageHeader(records[0].n, len(lines))) + zstandard.compress(lines, 3))


def decode_page(data: bytes, what: str) -> list[Record]:
    """Decode the records of a page. Raises Corrupt or Unsupported."""
    header, payload = decode_envelope(data, "L", PageHeader, what)
    lines = inflate(payload, min(header.size, _MAX_PAGE), what)
    if sum(map(lines.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise Corrupt(f"{what} contains more values than records may have")
    try:
        records = msgspec.json.Decoder(Record).decode_lines(lines)
    except NOT_JSON as error:
        raise Corrupt(f"{what} is damaged: {error}") from error
    if [record.n for record in records] != list(range(header.first, header.first + PAGE_RECORDS)):
        raise Corrupt(f"{what} does not contain the records that it claims")
    return records


def patch(old: Any, new: Any) -> Any:
    """The JSON merge patch (RFC 7396) that turns ``old`` into ``new``; neither may contain nulls."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    changes = {
        key: patch(old[key], value) if key in old else value for key, value in new.items() if old.get(key) != value
    }
    return changes | {key: None for key in old if key not in new}


def merge(old: Any, changes: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396). Raises Corrupt for one that is nested too deeply."""
    try:
        return _merged(old, changes)
    except RecursionError:
        raise Corrupt("a state in a log is nested too deeply", "run `sheaf store check`") from None


def _merged(old: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    base = old if isinstance(old, dict) else {}
    kept = {key: value for key, value in base.items() if key not in changes}
    return kept | {key: _merged(base.get(key), value) for key, value in changes.items() if value is not None}
