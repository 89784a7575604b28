"""One record batch out of an Arrow IPC stream, measured before anything in it is decompressed.

Arrow makes whatever room a stream asks for. So the lengths that the buffers claim are added up first; dictionaries and
further batches, for which the format has no use, are refused unread.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

from sheaf.errors import Corrupt
from sheaf.format.flat import field, i32, table, vector

__all__ = ["read_batch"]

#: What pyarrow raises for bytes that are no stream, or one that asks for too much.
NOT_ARROW = (pa.ArrowException, OSError, MemoryError, KeyError, ValueError, OverflowError, StopIteration, struct.error)

_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)  # batches are small: sharing columns out costs more than it gains
_BUFFER = struct.Struct("<qq")
_I64 = struct.Struct("<q")
_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3  # places of fields in Arrow's tables Message and RecordBatch


def read_batch(payload: memoryview, schema: pa.Schema, limit: int, what: str) -> pa.RecordBatch:
    """The columns of ``schema`` of the stream's only batch, validated, from buffers of at most ``limit`` bytes.

    Columns are found by name, and others left out. Raises Corrupt; ``what`` names the object.
    """
    stream = pa.py_buffer(payload)
    try:
        messages = list(_messages(stream))
        if [message.type for message in messages] != ["schema", "record batch"]:
            raise Corrupt(f"{what} does not contain exactly one record batch")
        if (size := _size(messages[1])) > limit:
            raise Corrupt(f"{what} claims {size} bytes, but at most {limit} are allowed")
        batch = next(iter(pa.ipc.open_stream(stream, options=_OPTIONS)))
        known = batch.select(schema.names)
        if known.schema.types != schema.types:
            raise Corrupt(f"{what} has columns of unexpected types")
        known.validate(full=True)
        return known.cast(schema)
    except NOT_ARROW as error:
        raise Corrupt(f"{what} is damaged: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """What Arrow says, without the further lines that it may have."""
    return str(error).partition("\n")[0]


def _size(batch: pa.Message) -> int:
    """Bytes that a batch's buffers take in memory."""
    return sum(_lengths(bytes(batch.metadata), memoryview(batch.body or b"")))


def _messages(stream: pa.Buffer) -> Iterator[pa.Message]:
    reader = pa.ipc.MessageReader.open_stream(stream)
    for _ in range(3):
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _lengths(metadata: bytes, body: memoryview) -> Iterator[int]:
    """What each buffer takes: a compressed one says so in its first 8 bytes, where -1 means that it isn't after all."""
    batch = table(metadata, i32(metadata, 0), _HEADER)
    compressed = field(metadata, batch, _COMPRESSION) is not None
    at, count = vector(metadata, batch, _BUFFERS)
    for start, length in _BUFFER.iter_unpack(metadata[at : at + count * _BUFFER.size]):
        if start < 0 or length < 0 or start + length > len(body):
            raise ValueError("a buffer lies outside the batch")
        said = _I64.unpack_from(body[start : start + length])[0] if compressed and length else -1
        if said < -1:
            raise ValueError("a buffer has a negative length")
        yield length if said < 0 else said
