"""The main program of a process that writes files (see writer_pool.py).

    python -m sheaf.transfer.download.files.writer_process SOCKET MEMORY ROOM FOLDER MASKED PARENT

The numbers are descriptors of the socket and the shared memory, the size of that, the descriptor of the folder, the
permission bits that new files don't get, and the id of the process that started this one. It imports little, so that it
starts fast.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import time
from array import array
from itertools import accumulate
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from sheaf.engine.chunks.bulk.assemble import assemble
from sheaf.errors import SheafError
from sheaf.transfer.download.files.new_file import write_file
from sheaf.transfer.local.dirfd import Anchor

__all__ = ["WriteRequest", "Written"]

_PAUSE_S: Final = 1  # between two looks whether the parent still exists


class WriteRequest(msgspec.Struct, frozen=True, array_like=True):
    """Files to write, as columns.

    ``chunks``: the number of chunks of each file; the last three columns have one value for each chunk: offset of its
    frame in the memory, stored length, and length in bytes.
    """

    folder: list[str]
    name: list[str]
    mode: list[int]
    mtime: list[int]
    size: list[int]
    content: list[bytes]
    chunks: list[int]
    at: list[int]
    stored: list[int]
    length: list[int]


class Written(msgspec.Struct, frozen=True, array_like=True):
    """The reply: ``failed`` files, by number.

    ``dev``, ``ino``, ``ctime``: the state of each file, as arrays of 8 bytes; of failed files zeros. ``wall``, ``cpu``:
    the seconds that it took.
    """

    failed: list[int]
    dev: bytes
    ino: bytes
    ctime: bytes
    wall: float
    cpu: float


class _Writing:
    """Answers one request after the other."""

    def __init__(self, connection: Connection, memory: mmap.mmap, root: int, masked: int, parent: int) -> None:
        self._connection = connection
        self._memory = memoryview(memory)
        self._root = root
        self._masked = masked
        self._parent = parent

    def run(self) -> None:
        """Answer requests until the socket is closed."""
        decoder = msgspec.msgpack.Decoder(WriteRequest)
        while True:
            # A process that the parent forked may hold the other end of the socket, so that its end alone says too little.
            while not self._connection.poll(_PAUSE_S):
                self._ensure_needed()
            asked = decoder.decode(self._connection.recv_bytes())
            self._connection.send_bytes(msgspec.msgpack.encode(self._write(asked)))

    def _ensure_needed(self) -> None:
        """Raise EOFError if the download was killed. The next one, which waits for this process, continues."""
        if os.getppid() != self._parent:
            raise EOFError

    def _write(self, asked: WriteRequest) -> Written:
        wall, cpu = time.perf_counter(), time.process_time()
        failed: list[int] = []
        dev, ino, ctime = array("Q"), array("Q"), array("q")
        ends = list(accumulate(asked.chunks))
        frames = list(zip(asked.at, asked.stored, asked.length, strict=True))
        columns = zip(
            asked.folder,
            asked.name,
            asked.mode,
            asked.mtime,
            asked.size,
            asked.content,
            asked.chunks,
            ends,
            strict=True,
        )
        with Anchor(self._root) as anchor:
            for i, (folder, name, mode, mtime, size, content, count, end) in enumerate(columns):
                self._ensure_needed()
                state = None
                data = assemble(
                    [(self._memory[at : at + stored], length) for at, stored, length in frames[end - count : end]],
                    size,
                    content,
                )
                if data is not None:
                    try:
                        state = write_file(anchor.folder(folder), name, data, mode, mtime, self._masked)
                    except (OSError, ValueError, OverflowError, SheafError):
                        # The requesting thread writes this file, and reports what is wrong.
                        pass
                if state is None:
                    failed.append(i)
                dev.append(state.st_dev if state else 0)
                ino.append(state.st_ino if state else 0)
                ctime.append(state.st_ctime_ns if state else 0)
        spent = time.perf_counter() - wall, time.process_time() - cpu
        return Written(failed, dev.tobytes(), ino.tobytes(), ctime.tobytes(), *spent)


def main() -> None:
    """Answer requests that come through the socket."""
    # The terminal sends SIGINT to the whole process group; the parent decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket, memory, room, root, masked, parent = map(int, sys.argv[1:])
    try:
        _Writing(Connection(socket), mmap.mmap(memory, room), root, masked, parent).run()
    except (EOFError, OSError):
        # The parent has ended.
        return


if __name__ == "__main__":
    main()
