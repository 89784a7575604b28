"""Read the only record batch of an Arrow IPC stream, checking its size before anything is decompressed.

Arrow allocates whatever a stream asks for. So the lengths that the buffers claim are added up first. Dictionaries and
further batches, which the format does not use, are rejected without being read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pyarrow as pa

from sheaf.errors import Corrupt
from sheaf.format.flat import field, i32, table, vector

__all__ = ["read_batch"]

#: What pyarrow raises for bytes that are not a stream, or for a stream that asks for too much memory.
NOT_ARROW = (pa.ArrowException, OSError, MemoryError, KeyError, ValueError, OverflowError, StopIteration, struct.error)

# Batches are small: sharing their columns among threads costs more than it saves.
_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)
_BUFFER = struct.Struct("<qq")
_I64 = struct.Struct("<q")
_HEADER, _BUFFERS, _COMPRESSION = 2, 2, 3  # numbers of fields in Arrow's tables Message and RecordBatch


def read_batch(payload: memoryview, schema: pa.Schema, limit: int, what: str) -> pa.RecordBatch:
    """Read and validate the stream's only batch, with the columns of ``schema``, from buffers of at most ``limit`` bytes.

    Columns are found by name, and other columns are left out. Raises Corrupt; ``what`` names the object.
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
    """The first line of Arrow's error message."""
    return str(error).partition("\n")[0]


def _size(batch: pa.Message) -> int:
    """The bytes of memory that a batch's buffers will occupy."""
    return sum(_lengths(bytes(batch.metadata), memoryview(batch.body or b"")))


def _messages(stream: pa.Buffer) -> Iterator[pa.Message]:
    reader = pa.ipc.MessageReader.open_stream(stream)
    for _ in range(3):
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _lengths(metadata: bytes, body: memoryview) -> Iterator[int]:
    """Yield each buffer's length in memory. A compressed buffer begins with it, in 8 bytes; -1 means "not compressed"."""
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
