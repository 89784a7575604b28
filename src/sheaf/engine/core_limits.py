"""How much the engine keeps, writes or gathers at once. A store works with any of these; the defaults are the fast ones."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from sheaf.format.limits import MAX_CHILDREN, MAX_ROWS, MAX_WEIGHT, MIN_CHILDREN, MIN_ROWS

__all__ = ["DEFAULT", "Limits"]


class Limits(Struct, frozen=True):
    """The thresholds of one opened store. Tests hand in smaller ones, so that a few files reach them."""

    # packs
    pack_bytes: int = 32 << 20  #: a pack is closed when it has this many bytes
    pack_chunks: int = 1 << 17  #: or so many chunks: what is known of each stays in memory until then
    pack_room: int = 2 << 20  #: bytes of a buffer beyond those of a pack: for its last chunk and its table
    list_packs: int = 4  #: durable packs, and at least a quarter of those listed before, that are listed together
    window_bytes: int = 8 << 20  #: bytes of a big file that are cut, hashed and compressed together

    # the index of chunks
    index_chunks: int = (
        1 << 24
    )  #: chunks of one object: at 44 bytes each, and 32 for each pack, it keeps below its limit
    index_merge: int = 16  #: objects of one level before they are merged into one of the next
    index_eager: int = 1 << 20  #: bytes up to which an edit loads the index for any number of bytes that it stores
    index_freeze: int = 1 << 15  #: chunks kept in a dict before they become sorted arrays of a tenth of the memory

    rebuild_chunks: int = 1 << 20  #: chunks in one object of a rebuilt index: some 100 MiB while it is sorted
    rebuild_packs: int = 16  #: an object of so many packs counts as merged once, of so many times as many twice, …

    # nodes of a manifest; readers refuse more than the upper limits
    min_rows: int = MIN_ROWS
    max_rows: int = MAX_ROWS
    max_weight: int = MAX_WEIGHT
    min_children: int = MIN_CHILDREN
    max_children: int = MAX_CHILDREN

    # reports
    sizes_chunks: int = 1 << 20  #: chunks gathered before repetitions are dropped
    problem_files: int = 5  #: affected files that are named with each problem; the others are counted

    # local folders
    scan_rows: int = 8192  #: rows of a batch of a scan
    stat_rows: int = 1 << 16  #: rows of a stat cache that are in memory at once
    whole_bytes: int = 1 << 20  #: bytes of the largest file that is read in one piece, and stored together with others
    worker_files: int = 8192  #: files from which on processes are worth starting: each takes 50 ms and 40 MiB
    worker_bytes: int = 128 << 20  #: or so many bytes to write
    worker_file_bytes: int = 12 << 10  #: mean bytes of files up to which processes read faster than threads
    worker_room: int = 24 << 20  #: bytes of the memory that is shared with a process that writes files
    group_files: int = 256  #: files that a thread stores at once
    group_bytes: int = 4 << 20  #: or so many bytes of them


DEFAULT: Final = Limits()
