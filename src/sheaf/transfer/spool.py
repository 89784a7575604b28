"""Parts of a manifest that are kept until all are known: few rows in memory, many in a file without a name."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from sheaf.engine.manifest.tree_writer import Piece
from sheaf.model.nodes import Pointer
from sheaf.storage.folder.scratch import Scratch

__all__ = ["Spool"]

_ROOM: Final = 16 << 20  # bytes of rows that stay in memory


class Spool:
    """Batches of one schema and pointers to reused leaves, kept in order. They can be read repeatedly; not thread-safe.

    If no file can be written, all of them stay in memory.
    """

    def __init__(self, room: int = _ROOM) -> None:
        self._room = room
        self._held: list[Piece] = []
        self._size = 0
        self._file: Scratch | None = None
        # The begin and the end of each batch in the file, each an IPC stream; pointers as they are.
        self._spilled: list[tuple[int, int] | Pointer] = []

    def add(self, piece: Piece) -> None:
        """Add a batch or a pointer."""
        self._held.append(piece)
        self._size += _bytes_of(piece)
        if self._size > self._room:
            self._spill()

    def __iter__(self) -> Iterator[Piece]:
        for each in self._spilled:
            if isinstance(each, Pointer):
                yield each
                continue
            assert self._file is not None
            yield pa.ipc.open_stream(pa.py_buffer(self._file.read(*each))).read_next_batch()
        yield from self._held

    def _spill(self) -> None:
        try:
            self._file = self._file or Scratch()
            while self._held:
                piece = self._held[0]
                if isinstance(piece, Pointer):
                    self._spilled.append(piece)
                else:
                    start = self._file.append(_stream(piece))
                    self._spilled.append((start, self._file.size))
                self._size -= _bytes_of(self._held.pop(0))
        except OSError:
            # The disk is full: what is not in the file stays in memory, in order.
            self._room = 1 << 62

    def close(self) -> None:
        """Drop the rows."""
        self._held, self._spilled = [], []
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bytes_of(piece: Piece) -> int:
    return 0 if isinstance(piece, Pointer) else int(piece.nbytes)


def _stream(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
