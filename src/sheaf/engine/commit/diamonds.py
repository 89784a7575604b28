"""Diamonds: many writers fill one bundle concurrently, each with its own split; one commit joins them.

    repos/<repo>/diamonds/<id>/start.json              the diamond; its id is a session's and will be the bundle's
    repos/<repo>/diamonds/<id>/splits/<generation>/start.json, done.json
    repos/<repo>/diamonds/<id>/end.json                create-only: exactly the splits that are joined, or "canceled"

The process that creates ``end.json`` decides; a split that is not listed there then fails. The commit is the bundle's
record in the log.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import pyarrow as pa

from sheaf.engine.core import Core
from sheaf.engine.manifest.comparison.tree_diff import same
from sheaf.engine.manifest.node_store import Nodes, pointer_of
from sheaf.engine.manifest.tree import Tree, entries
from sheaf.engine.objects import get_object
from sheaf.errors import AlreadyExists, Conflict, Corrupt, InvalidInput, NotFound
from sheaf.format import keys
from sheaf.format.session_v1 import seal, unseal
from sheaf.model.entries import Kind
from sheaf.model.ids import check_ids
from sheaf.model.paths import check_path, join, order_key
from sheaf.model.records import Author, Root
from sheaf.storage.port import Created

__all__ = ["MODES", "DiamondEnd", "DiamondStart", "Merged", "Mode", "SplitDone", "SplitStart", "Splits", "merge_splits"]

Mode = Literal["enable-conflicts", "enable-checkpoints", "ignored", "forbids-conflicts"]
MODES: tuple[Mode, ...] = ("enable-conflicts", "enable-checkpoints", "ignored", "forbids-conflicts")


class DiamondStart(msgspec.Struct, frozen=True, omit_defaults=True):
    """The start of a diamond. ``id`` is also the id of its session and of its bundle."""

    id: str
    time: str
    author: Author = Author()

    def __post_init__(self) -> None:
        check_ids(self.id)


class DiamondEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a diamond. ``splits``: generations, in the order in which later ones win."""

    state: Literal["done", "canceled"]
    time: str
    mode: Mode = "enable-conflicts"
    splits: tuple[str, ...] = ()
    tag: str = ""

    def __post_init__(self) -> None:
        check_ids(*self.splits)


class SplitStart(msgspec.Struct, frozen=True, omit_defaults=True):
    """The start of a split. ``name`` is free text, ``generation`` a KSUID."""

    name: str
    generation: str
    time: str
    author: Author = Author()
    tag: str = ""

    def __post_init__(self) -> None:
        _check_split(self.name, self.generation)


class SplitDone(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a split, whose manifest is complete."""

    name: str
    generation: str
    started: str
    time: str
    root: Root
    files: int
    author: Author = Author()
    tag: str = ""

    def __post_init__(self) -> None:
        _check_split(self.name, self.generation)


def _check_split(name: str, generation: str) -> None:
    """Raise ValueError for a name that can't be a folder's: files that lose a conflict go into a folder of this name."""
    check_ids(generation)
    check_path(name)
    if "/" in name:
        raise ValueError(f"{name[:100]!r} is not the name of a split")


class Splits:
    """The objects of one diamond."""

    def __init__(self, core: Core, repo_id: str, id: str) -> None:
        self._core = core
        self._base = f"{keys.repo(repo_id)}diamonds/{id}/"
        self.id = id

    def begin(self) -> DiamondStart:
        """Record that the diamond begins."""
        start = DiamondStart(self.id, self._core.now(), self._core.author)
        self._core.create(self._base + "start.json", seal("diamond", start))
        return start

    def start(self) -> DiamondStart:
        """Return the diamond's start record. Raises NotFound."""
        key = self._base + "start.json"
        try:
            return unseal(get_object(self._core.backend, key), "diamond", DiamondStart, key)
        except NotFound:
            raise NotFound(f'didn\'t find diamond "{self.id}"', "see `sheaf diamond list`") from None

    def end(self) -> DiamondEnd | None:
        """Return the diamond's end record, or None."""
        key = self._base + "end.json"
        try:
            return unseal(get_object(self._core.backend, key), "diamond-end", DiamondEnd, key)
        except NotFound:
            return None

    def decide(self, end: DiamondEnd) -> DiamondEnd:
        """End the diamond, unless another process already has; returns the valid end record."""
        if self._core.backend.create(self._base + "end.json", seal("diamond-end", end)) is not Created.OTHER:
            return end
        held = self.end()
        if held is None:
            raise Conflict(f"the end record of diamond {self.id} can't be read back", "run the same command again")
        return held

    def begin_split(self, name: str, tag: str) -> SplitStart:
        """Record that a split begins. It replaces an unfinished one of that name. Raises AlreadyExists, Conflict."""
        if self.end() is not None:
            raise Conflict(f"diamond {self.id} is closed", "start a new one with `sheaf diamond initialize`")
        if any(done.name == name for done in self.done()):
            raise AlreadyExists(f"split '{name}' is already complete", "add new files as a split with another name")
        start = SplitStart(name, self._core.clock.new_id(), self._core.now(), self._core.author, tag)
        self._core.create(f"{self._base}splits/{start.generation}/start.json", seal("split", start))
        return start

    def end_split(self, done: SplitDone) -> None:
        """Record that a split is complete. Raises Conflict if the diamond was closed without it, so that it isn't joined."""
        self._core.create(f"{self._base}splits/{done.generation}/done.json", seal("split-done", done))
        end = self.end()
        if end is not None and done.generation not in end.splits:
            raise Conflict(
                f"diamond {self.id} was closed before split '{done.name}' was complete", "start a new diamond"
            )

    def started(self) -> list[SplitStart]:
        """Return all splits, oldest first: of each name the complete one, or else the newest."""
        found = [unseal(data, "split", SplitStart, key) for key, data in self._listed("start.json")]
        done = {split.generation for split in self.done()}
        ordered = sorted(found, key=lambda start: (start.generation in done, start.time, start.generation))
        latest = {start.name: start for start in ordered}
        return sorted(latest.values(), key=lambda start: (start.time, start.generation))

    def done(self) -> list[SplitDone]:
        """Return all complete splits, in the order in which they ended."""
        found = [unseal(data, "split-done", SplitDone, key) for key, data in self._listed("done.json")]
        return sorted(found, key=lambda s: (s.time, s.generation))

    def joined(self, end: DiamondEnd) -> list[SplitDone]:
        """Return the splits that an end record lists, in its order. Raises Corrupt if one is missing."""
        by_generation = {split.generation: split for split in self.done()}
        if lost := [generation for generation in end.splits if generation not in by_generation]:
            raise Corrupt(f"split {lost[0]} of diamond {self.id} is missing", "run `sheaf store check`")
        return [by_generation[generation] for generation in end.splits]

    def _listed(self, name: str) -> Iterator[tuple[str, bytes]]:
        for stat in self._core.backend.list(self._base + "splits/"):
            if stat.key.endswith("/" + name):
                yield stat.key, get_object(self._core.backend, stat.key)


# -- joining -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Merged:
    """Several manifests read as one, in order. ``losers``: rows that lost a conflict, complete after :meth:`rows`."""

    splits: Sequence[SplitDone]
    nodes: Nodes
    mode: Mode
    losers: list[tuple[str, pa.RecordBatch]]

    def rows(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the joined bundle. Raises Conflict, InvalidInput."""
        rows = heapq.merge(*(self._keyed(rank) for rank in range(len(self.splits))), key=lambda row: row[:2])
        group: list[tuple[bytes, int, pa.RecordBatch, int]] = []
        run = _Run()
        for row in rows:
            if group and row[0] != group[0][0]:
                yield from run.add(*self._winner(group)[2:])
                group = []
            group.append(row)
        if group:
            yield from run.add(*self._winner(group)[2:])
        yield from run.flush()

    def _keyed(self, rank: int) -> Iterator[tuple[bytes, int, pa.RecordBatch, int]]:
        for batch in Tree(self.nodes, pointer_of(self.splits[rank].root)).batches():
            for i, (folder, name) in enumerate(
                zip(batch["folder"].to_pylist(), batch["name"].to_pylist(), strict=True)
            ):
                yield order_key(folder, name), rank, batch, i

    def _winner(self, group: list[tuple[bytes, int, pa.RecordBatch, int]]) -> tuple[bytes, int, pa.RecordBatch, int]:
        """Return the row to keep of rows with one path, in the order of splits, and add others that differ to ``losers``.

        Raises InvalidInput if one is a folder and another is not, Conflict in mode "forbids-conflicts".
        """
        winner = group[-1]
        if len(group) == 1:
            return winner
        best = next(entries(winner[2].slice(winner[3], 1)))
        for _, rank, batch, i in group[:-1]:
            other = next(entries(batch.slice(i, 1)))
            if (other.kind == Kind.FOLDER) != (best.kind == Kind.FOLDER):
                raise InvalidInput(
                    f"'{best.path}' is a folder in one split and a file in another", "leave out one of the splits"
                )
            if same(other, best):
                continue
            if self.mode == "forbids-conflicts":
                names = f"'{self.splits[rank].name}' and '{self.splits[winner[1]].name}'"
                raise Conflict(
                    f"splits {names} have different versions of '{best.path}'",
                    "commit with --with-conflicts to keep both",
                )
            if self.mode != "ignored":
                folder = ".conflicts" if self.mode == "enable-conflicts" else ".checkpoints"
                self.losers.append((join(f"{folder}/{self.splits[rank].name}", other.path), batch.slice(i, 1)))
        return winner


class _Run:
    """Joins neighbouring rows of one batch again, so that rows are passed on as slices and not one by one."""

    def __init__(self) -> None:
        self._batch: pa.RecordBatch | None = None
        self._start = self._end = 0

    def add(self, batch: pa.RecordBatch, i: int) -> Iterator[pa.RecordBatch]:
        if batch is self._batch and i == self._end:
            self._end += 1
            return
        yield from self.flush()
        self._batch, self._start, self._end = batch, i, i + 1

    def flush(self) -> Iterator[pa.RecordBatch]:
        if self._batch is not None:
            yield self._batch.slice(self._start, self._end - self._start)
            self._batch = None


def merge_splits(nodes: Nodes, splits: Sequence[SplitDone], mode: Mode) -> Merged:
    """Merge the manifests of splits. If they disagree on a path the later one wins; ``mode`` decides about the others."""
    return Merged(splits, nodes, mode, [])
