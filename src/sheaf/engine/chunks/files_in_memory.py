"""Whole files in memory, cut into chunks. It imports little, because worker processes of uploads use it, too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from blake3 import blake3

from sheaf.engine.chunks.compress import BATCH, Frame, compress_chunks, compress_first_chunks
from sheaf.engine.chunks.cut_file import Cutter
from sheaf.format.store_v1 import Chunker
from sheaf.storage.port import Buffer

__all__ = ["FilesInMemory"]


class FilesInMemory:
    """Files with their hashes and chunks, for :meth:`sheaf.engine.chunks.ingest.Ingest.store_columns`.

    Attributes:
        hashes: the BLAKE3 hash of each file.
        counts: the number of chunks of each file, 0 for an empty one.
        chunk_hashes: hashes of all chunks, one file after the other.
        chunk_sizes: their sizes in bytes.
    """

    def __init__(self, contents: Sequence[bytes], chunker: Chunker) -> None:
        self.hashes = [blake3(content).digest() for content in contents]
        self.counts: list[int] = []
        self.chunk_hashes: list[bytes] = []
        self._chunks: list[Buffer] = []
        self._big: dict[int, range] = {}  # for each chunk of a file that was cut, all chunks of that file
        cutter = Cutter(chunker)
        for content, hash in zip(contents, self.hashes, strict=True):
            if len(content) <= chunker.min:
                self._add([content] if content else [], hash)
            else:
                first = len(self._chunks)
                self._add(cutter.chunks(content), hash)
                of_file = range(first, len(self._chunks))
                self._big.update(dict.fromkeys(of_file, of_file))
        self.chunk_sizes = list(map(len, self._chunks))

    def frames(self, wanted: Sequence[int]) -> list[Frame]:
        """Return the frames of some chunks, by number in ascending order: those that each file has when stored alone."""
        small = [i for i in wanted if i not in self._big]
        frames = dict(zip(small, compress_chunks(*self._some(small), adaptive=False), strict=True))
        if len(small) < len(wanted):
            windows = [list(group) for _, group in groupby((i for i in wanted if i in self._big), self._window)]
            short = [i for window in windows if len(window) <= BATCH for i in window]
            frames.update(zip(short, compress_first_chunks(*self._some(short)), strict=True))
            for window in windows:
                if len(window) > BATCH:
                    frames.update(zip(window, compress_chunks(*self._some(window), adaptive=True), strict=True))
        return [frames[i] for i in wanted]

    def _add(self, chunks: Sequence[Buffer], file: bytes) -> None:
        """Add the chunks of a file. ``file``: its hash."""
        self._chunks += chunks
        self.counts.append(len(chunks))
        self.chunk_hashes += [file] if len(chunks) == 1 else [blake3(chunk).digest() for chunk in chunks]

    def _some(self, numbers: list[int]) -> tuple[list[Buffer], list[bytes]]:
        return [self._chunks[i] for i in numbers], [self.chunk_hashes[i] for i in numbers]

    def _window(self, number: int) -> tuple[int, bool]:
        """Tell chunks apart that a stream of the file would compress separately: the last one, which waits for more bytes."""
        of_file = self._big[number]
        return of_file.start, number == of_file[-1]
