"""Write a file as a stream: one that does not fit into memory, is an object of its own, or is in an external location.

Its blocks are decompressed and verified in several threads. One thread hashes the whole file while another writes it,
both in order. So what a killed download leaves is the beginning of the file, and the next one continues there.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

import numpy as np
from blake3 import blake3

from sheaf.engine.chunks.chunk_reader import DAMAGE, Contents, Erased
from sheaf.errors import Corrupt
from sheaf.fork import Threads
from sheaf.local_errors import translated
from sheaf.model.entries import Kind, ManifestEntry
from sheaf.storage.port import Buffer
from sheaf.transfer.download.damaged import Damaged, Refusal
from sheaf.transfer.download.files.filled import Filled
from sheaf.transfer.download.files.new_file import NEW
from sheaf.transfer.download.files.old_file import finish, hash_rest, open_old, remove
from sheaf.transfer.download.files.sparse import end_sparse, write_sparse
from sheaf.transfer.local.dirfd import Anchor
from sheaf.transfer.local.statcache import FileStates
from sheaf.transfer.progress import Meter, log_file

__all__ = ["LargeFiles", "states_of"]

_GROUPS: Final = 2  # of blocks that wait to be written


@dataclass(frozen=True, slots=True)
class LargeFiles:
    """Writes single files below ``root``, a descriptor. ``resumed``: files of an earlier attempt may exist.

    ``refuse``: as in :class:`sheaf.transfer.download.write_files.Filling`. ``ensure_needed``: raises an error if the
    result is not needed any more.
    """

    contents: Contents
    root: int
    resumed: bool
    meter: Meter
    refuse: Refusal | None
    ensure_needed: Callable[[], None]

    def write(self, entry: ManifestEntry) -> Filled:
        """Write a file, or continue the one that an earlier attempt has left."""
        with Anchor(self.root) as anchor, translated(f"write {entry.path}"):
            folder = anchor.folder(entry.folder)
            fd = open_old(entry.name, folder) if self.resumed else None
            if fd is None:
                remove(entry.name, folder)
                fd = os.open(entry.name, NEW, 0o600, dir_fd=folder)
            try:
                had = self._stream(fd, entry)
                finish(fd, entry.mode, entry.mtime)
                states = [] if entry.kind == Kind.EXTERNAL else [states_of([os.fstat(fd)], [entry.content])]
            except Erased:
                remove(entry.name, folder)
                return Filled(erased=[entry.path])
            except DAMAGE as error:
                if self.refuse is not None and entry.kind == Kind.EXTERNAL:
                    # The file is not damaged, but stored elsewhere.
                    raise
                # With refuse, the file stays: the next attempt continues with what was written.
                if self.refuse is None:
                    remove(entry.name, folder)
                return Filled(damaged=[Damaged(entry.path, error.message)])
            finally:
                os.close(fd)
        self.meter.add_file()
        log_file("wrote", entry.path, entry.size)
        return Filled(1, entry.size, int(had == entry.size > 0), states=states)

    def _stream(self, fd: int, entry: ManifestEntry) -> int:
        """Write the missing bytes of a file; return how many bytes existed before."""
        had = min(os.fstat(fd).st_size, entry.size)
        os.truncate(fd, had)
        if had and self._append(fd, entry, had):
            return had
        os.truncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        if not self._append(fd, entry, 0):
            raise Corrupt(f"'{entry.path}' doesn't match the manifest", "run `sheaf store check --read-data`")
        return 0

    def _append(self, fd: int, entry: ManifestEntry, had: int) -> bool:
        """Write the bytes after the first ``had`` ones; return True if the hash of the whole file is right.

        Hashes of chunks alone don't show whether the beginning, or the list of chunks, belongs to this file.
        """
        hasher = blake3()
        hash_rest(fd, hasher)
        self.meter.add_bytes(had)
        pending: deque[Future[None]] = deque()
        appended = _Appended(fd, self.meter)
        writer = Threads(1, thread_name_prefix="sheaf-write-large")
        try:
            for blocks in self.contents.block_groups(entry, had):
                self.ensure_needed()
                pending.append(writer.submit(appended.write, blocks))
                for block in blocks:
                    hasher.update(block)
                if len(pending) > _GROUPS:
                    pending.popleft().result()
        finally:
            # What was verified before an error is written, so that the next attempt continues there.
            writer.shutdown()
        for each in pending:
            each.result()
        end_sparse(fd)
        return entry.kind == Kind.EXTERNAL or hasher.digest() == entry.content


@dataclass(slots=True)
class _Appended:
    """Appends blocks to a file, until a write fails: a later block would be in the wrong place."""

    fd: int
    meter: Meter
    has_failed: bool = False

    def write(self, blocks: Sequence[Buffer]) -> None:
        """Append blocks; do nothing if an earlier write has failed, whose error its caller gets."""
        if self.has_failed:
            return
        try:
            for block in blocks:
                write_sparse(self.fd, block)
        except BaseException:
            self.has_failed = True
            raise
        self.meter.add_bytes(sum(map(len, blocks)))


def states_of(states: Sequence[os.stat_result], contents: Sequence[bytes]) -> FileStates:
    """Return the states of files, and the hashes of their contents, as columns."""
    return FileStates(
        np.array([state.st_dev for state in states], np.uint64),
        np.array([state.st_ino for state in states], np.uint64),
        np.array([state.st_size for state in states], np.int64),
        np.array([state.st_mtime_ns for state in states], np.int64),
        np.array([state.st_ctime_ns for state in states], np.int64),
        np.frombuffer(b"".join(contents), np.uint8).reshape(len(states), 32),
    )
