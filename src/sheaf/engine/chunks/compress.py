"""Compress chunks where it pays, and verify that they decompress to the same bytes.

A batch goes through zstd in one call, which releases Python's lock. A call for each small chunk would spend more time
on the lock than on the chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import zstandard
from blake3 import blake3

from sheaf.errors import Bug
from sheaf.format.frame_v1 import RAW, ZSTD
from sheaf.storage.port import Buffer

__all__ = ["BATCH", "Frame", "compress_chunks", "compress_first_chunks"]

Frame = tuple[bytes, Buffer]  #: codec, and the bytes that are stored after it

_LEVEL = 1  # for files of one chunk, which gain nothing by a higher level
_LEVEL_BIG = 2  # for chunks of big files: 5 % smaller than level 1 in tables and text, for a fifth more time
_PAYS = 0.95  # zstd is used where it saves at least a twentieth
BATCH = 8  # chunks of a big file that are compressed together
_SAMPLE = 4096  # bytes of a chunk that are tried where the batch before it didn't shrink


class _Zstd(threading.local):
    """Compressors for each thread, because they can't be shared."""

    def __init__(self) -> None:
        self.shrink = zstandard.ZstdCompressor(level=_LEVEL).multi_compress_to_buffer
        self.shrink_more = zstandard.ZstdCompressor(level=_LEVEL_BIG).multi_compress_to_buffer
        self.grow = zstandard.ZstdDecompressor().multi_decompress_to_buffer


_zstd = _Zstd()


def compress_chunks(chunks: Sequence[Buffer], hashes: Sequence[bytes], *, adaptive: bool) -> list[Frame]:
    """Compress chunks for storage. None of them may be empty.

    Args:
        hashes: their BLAKE3 hashes.
        adaptive: the chunks are of one big file: where a batch doesn't compress, only the chunks of the next one whose
        sample compresses are compressed. A file of noise takes less time then.

    Raises:
        Bug: a chunk doesn't decompress to its bytes, or no longer matches its hash.
    """
    size = BATCH if adaptive else max(len(chunks), 1)
    shrink = _zstd.shrink_more if adaptive else _zstd.shrink
    frames: list[Frame] = []
    hopeless = False
    for at in range(0, len(chunks), size):
        batch, names = chunks[at : at + size], hashes[at : at + size]
        tried = _promising(batch, shrink) if hopeless else range(len(batch))
        done = dict(zip(tried, _compressed([batch[i] for i in tried], [names[i] for i in tried], shrink), strict=True))
        hopeless = adaptive and all(codec == RAW for codec, _ in done.values())
        frames += [done[i] if i in done else _as_is(batch[i], names[i]) for i in range(len(batch))]
    return frames


def compress_first_chunks(chunks: list[Buffer], hashes: Sequence[bytes]) -> list[Frame]:
    """Compress chunks of several big files, at most ``BATCH`` in a row of each, as :func:`compress_chunks` would.

    It tries all of them, so they don't depend on each other, and go through zstd in one call. Raises Bug.
    """
    return _compressed(chunks, hashes, _zstd.shrink_more) if chunks else []


def _promising(chunks: Sequence[Buffer], shrink: Callable[..., Any]) -> list[int]:
    """Return the numbers of the chunks whose middle bytes shrink.

    A look at one chunk of a batch is not enough: where text follows noise within the batch, the text would stay as it is.
    """
    samples = [chunk[at : at + _SAMPLE] for chunk in chunks for at in [max(len(chunk) - _SAMPLE, 0) // 2]]
    compressed = shrink(samples, threads=0)
    return [i for i, sample in enumerate(samples) if len(compressed[i]) < len(sample) * _PAYS]


def _compressed(chunks: list[Buffer], hashes: Sequence[bytes], shrink: Callable[..., Any]) -> list[Frame]:
    """Compress chunks in one call, decompress the results, and compare hashes. Chunks that don't shrink are stored raw."""
    if not chunks:
        return []
    compressed_frames = shrink(chunks, threads=0)
    frames: list[Frame] = []
    smaller: list[Any] = []
    names: list[bytes] = []
    for i, (chunk, name) in enumerate(zip(chunks, hashes, strict=True)):
        if len(small := compressed_frames[i]) < len(chunk) * _PAYS:
            smaller.append(small.tobytes())
            names.append(name)
            frames.append((ZSTD, smaller[-1]))
        else:
            frames.append(_as_is(chunk, name))
    again: Any = _zstd.grow(smaller, threads=0) if smaller else ()
    for i, name in enumerate(names):
        _prove(again[i], name)
    return frames


def _as_is(chunk: Buffer, hash: bytes) -> Frame:
    _prove(chunk, hash)
    return RAW, chunk


def _prove(chunk: Buffer, hash: bytes) -> None:
    if blake3(chunk).digest() != hash:
        raise Bug("a chunk does not decompress to its original bytes", "test the memory of this machine")
