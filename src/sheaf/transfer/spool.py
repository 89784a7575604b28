"""Rows of a manifest that wait until all of them are known: few in memory, many in a file that has no name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Final, Self

import pyarrow as pa

__all__ = ["Spool"]

_ROOM: Final = 16 << 20  # bytes of rows that stay in memory


class Spool:
    """Batches of one schema, kept in the order in which they come. May be read again and again; not thread-safe.

    Where no file can be written, all stay in memory.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._held: list[pa.RecordBatch] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None
        self._spilled = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch."""
        self._held.append(batch)
        self._size += batch.nbytes
        if self._size > self._room:
            self._spill(batch.schema)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._file is not None and self._spilled:
            self._file.seek(0)
            reader = pa.ipc.open_stream(self._file)
            for _ in range(self._spilled):
                yield reader.read_next_batch()
        yield from self._held

    def _spill(self, schema: pa.Schema) -> None:
        try:
            self._write(schema)
        except OSError:
            self._room = 1 << 62
        else:
            self._spilled += len(self._held)
            self._held, self._size = [], 0

    def _write(self, schema: pa.Schema) -> None:
        if self._file is None or self._writer is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
            self._writer = pa.ipc.new_stream(self._file, schema)
        self._file.seek(0, 2)
        for batch in self._held:
            self._writer.write_batch(batch)
        self._file.flush()

    def close(self) -> None:
        """Forget the rows."""
        self._held = []
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
