"""The order in which a program reads files: shuffled, divided into shards, and reproducible.

Files are read by *units*, runs of files that are stored together, so the order begins with the units. Then each sample
moves back by a random part of the buffer: sorted by their new positions, samples are mixed, and the bytes that were
read but not returned yet are never more than the buffer. The whole order is known in advance, so reading can begin
anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Order", "Units", "cut_units"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Units:
    """Files grouped by unit. ``rows``: numbers of files; unit u is ``rows[starts[u]:starts[u + 1]]``."""

    rows: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1


def cut_units(rows: Ints, pack: Ints, size: Ints, limit: int) -> Units:
    """Cut files into units where the pack changes, and after ``limit`` bytes. ``rows``: in the order of reading."""
    if not len(rows):
        return Units(rows, np.zeros(1, np.int64))
    changes = np.flatnonzero(np.diff(pack[rows])) + 1
    edges = np.concatenate(([0], changes, [len(rows)])).astype(np.int64)
    sizes = size[rows]
    starts = [cut for first, last in itertools.pairwise(edges) for cut in _cuts(sizes, first, last, limit)]
    return Units(rows, np.array([*starts, len(rows)], np.int64))


def _cuts(sizes: Ints, first: int, last: int, limit: int) -> Iterator[int]:
    """Yield where units begin in a range of files."""
    ends = np.cumsum(sizes[first:last])
    at, base = 0, 0
    while at < len(ends):
        yield int(first) + at
        at = max(int(np.searchsorted(ends, base + limit, side="right")), at + 1)
        base = int(ends[at - 1])


@dataclass(frozen=True, slots=True)
class Order:
    """The order of one epoch of one shard: ``rows[i]`` is the i-th file, ``unit[i]`` the unit that it is read with."""

    rows: Ints
    unit: Ints

    @classmethod
    def of(
        cls, units: Units, size: Ints, *, seed: int | None, epoch: int, shard: tuple[int, int], buffer: int
    ) -> Order:
        """Compute the order. ``seed``: None for the order of the units. ``shard``: (rank, world).

        Shards are disjoint, and their lengths differ by one file at most. ``buffer``: bytes.
        """
        order = np.arange(len(units)) if seed is None else _random(seed, epoch).permutation(len(units))
        counts = np.diff(units.starts)
        unit = np.repeat(order, counts[order])
        first = np.repeat(units.starts[:-1][order] - np.cumsum(counts[order]) + counts[order], counts[order])
        rows = units.rows[first + np.arange(len(unit))]
        rank, world = shard
        mine = slice(len(rows) * rank // world, len(rows) * (rank + 1) // world)
        rows, unit = rows[mine], unit[mine]
        if seed is None:
            return cls(rows, unit)
        keys = np.cumsum(np.maximum(size[rows], 1)) + _random(seed, epoch, rank, world).uniform(0, buffer, len(rows))
        mixed = np.argsort(keys, kind="stable")
        return cls(rows[mixed], unit[mixed])

    def loads(self, start: int) -> Iterator[Ints]:
        """Yield what to read for each unit from sample ``start`` on (positions in this order), by when it is needed first."""
        unit = self.unit[start:]
        grouped = np.argsort(unit, kind="stable")
        edges = np.flatnonzero(np.diff(unit[grouped])) + 1
        groups = np.split(grouped, edges) if len(unit) else []
        for group in sorted(groups, key=lambda group: int(group[0])):
            yield group + start


def _random(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([part & (1 << 64) - 1 for part in seed])))
