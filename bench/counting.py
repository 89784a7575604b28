"""What operations ask of a store, counted on one in memory: requests, round trips, bytes. The same numbers every time.

Called by the benchmarks and by the tests that guard them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.million import PER_FOLDER, folder_name, make
from sheaf.engine.clock import SystemClock
from sheaf.engine.core import create_store
from sheaf.model.records import AddBundle, BundleRecord, MoveBranch
from sheaf.repo.store import Store
from sheaf.storage.memory import MemoryBackend
from sheaf.storage.wrappers.count import Call, CountBackend
from sheaf.testing.latency import LatencyBackend

__all__ = ["Cost", "Counted", "count_all", "count_listing", "far_away", "giant", "remote_place", "remote_store"]

CHANGES = 100
_DELAY_S = 0.01  # long enough for requests that are made together to overlap, so that round trips can be told
_WRITES = ("create", "delete")


class _Far(LatencyBackend):
    """A store in memory that counts as remote; once it is far, requests that are made together overlap."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend(), sleep=self._wait)
        self.url = "far://"
        self.is_far = False

    def _wait(self, _: float) -> None:
        if self.is_far:
            time.sleep(_DELAY_S)


@dataclass(frozen=True, slots=True)
class Cost:
    """One operation. ``round_trips``: the longest chain of requests that waited for each other."""

    entries: int
    operation: str
    reads: int
    writes: int
    round_trips: int
    bytes_in: int
    bytes_out: int


class Counted:
    """A store in memory with two bundles of ``entries`` files."""

    def __init__(self, entries: int, cache: Path | None = None) -> None:
        self.entries = entries
        self.backend = remote_store()
        self._cache = cache
        self.costs: list[Cost] = []
        with Store(self.backend) as store:
            make(store, entries, CHANGES)

    def store(self) -> Store:
        """The store, opened anew: nothing of it is known."""
        return Store(self.backend, cache=self._cache)

    @contextmanager
    def counting(self, operation: str) -> Iterator[None]:
        """Count what happens inside as an operation."""
        with far_away(self.backend):
            yield
        tally = self.backend.tally()
        writes = sum(n for call, n in self.backend.requests.items() if call.operation in _WRITES)
        reads = tally.requests - writes
        cost = Cost(self.entries, operation, reads, writes, tally.round_trips, tally.bytes_in, tally.bytes_out)
        self.costs.append(cost)

    def requests(self) -> dict[Call, int]:
        """Of the last operation, by kind."""
        return dict(self.backend.requests)


@contextmanager
def far_away(backend: CountBackend) -> Iterator[None]:
    """Count from zero, with requests that are made together overlapping. ``backend``: a :func:`remote_place`."""
    far = backend.inner
    assert isinstance(far, _Far)
    backend.reset()
    far.is_far = True
    try:
        yield
    finally:
        far.is_far = False


def remote_place() -> CountBackend:
    """An empty location in memory, counted."""
    return CountBackend(_Far())


def remote_store() -> CountBackend:
    """An empty store in memory, counted."""
    backend = remote_place()
    create_store(backend, SystemClock())
    return backend


def count_all(entries: int, folder: Path) -> list[Cost]:
    """The costs of what people do most, in a bundle of so many entries. ``folder``: an empty one, for an upload."""
    counted = Counted(entries)
    middle = entries // 2
    path = f"{folder_name(middle // PER_FOLDER)}/item-{middle:09}.bin"
    with counted.counting("open one file, from a URL and name@label"):
        counted.store().repo("bench").bundle("v0").read(path)
    repo = counted.store().repo("bench")
    repo.bundle("v0")
    with counted.counting("open one file, with the repo open"):
        repo.bundle("v0").read(path)
    with counted.counting("list one folder, with the repo open"):
        sum(1 for _ in counted.store().repo("bench").bundle("v0").ls(folder_name(0)))
    with counted.counting(f"diff with {CHANGES} changes"):
        repo = counted.store().repo("bench")
        sum(1 for _ in repo.bundle("v0").diff(repo.bundle("v1")))
    _commits(counted, path)
    _upload(counted, folder)
    return counted.costs


def _commits(counted: Counted, path: str) -> None:
    folder = path.rpartition("/")[0]
    changes: dict[str, Callable[[object], None]] = {
        "commit one changed file": lambda edit: edit.put(path, b"changed"),  # type: ignore[attr-defined]
        "commit one added file": lambda edit: edit.put(f"{folder}/item-new.bin", b"added"),  # type: ignore[attr-defined]
        "commit one removed file": lambda edit: edit.remove(path),  # type: ignore[attr-defined]
    }
    for operation, change in changes.items():
        repo = counted.store().repo("bench")
        with counted.counting(operation), repo.edit(message=operation) as edit:
            change(edit)
            edit.commit()


def _upload(counted: Counted, folder: Path) -> None:
    for i in range(100):
        (folder / f"file-{i:03}").write_bytes(bytes([i]) * 3000)
    store = counted.store()
    store.create_repo("uploads")
    with counted.counting("upload a folder of 100 files"):
        store.repo("uploads").upload(folder, message="one")


def count_listing(bundles: int, cache: Path) -> list[Cost]:
    """The cost of listing a repo's bundles, the first time and again."""
    backend = remote_store()
    with Store(backend) as store:
        _history(store, bundles)
    costs = []
    for operation in ("list all bundles", "list all bundles again, cached"):
        store = Store(backend, cache=cache)
        repo = store.repo("many")
        backend.reset()
        if len(repo.bundles()) != bundles:
            raise AssertionError("a listing that is not whole")
        tally = backend.tally()
        costs.append(Cost(bundles, operation, tally.requests, 0, tally.round_trips, tally.bytes_in, tally.bytes_out))
        store.close()
    return costs


def _history(store: Store, bundles: int) -> None:
    """A repo of so many bundles: the same tree again and again, each its own record."""
    repo = store.create_repo("many")
    with repo.edit(message="first") as edit:
        edit.put("file", b"content")
        first: BundleRecord = edit.commit()._descriptor
    core, log = store._core, repo._log
    before = first.id
    for n in range(bundles - 1):
        id = core.clock.new_id()
        bundle = BundleRecord(
            id, first.version, first.root, f"number {n}", first.time, 1, first.author, (before,), {}, ""
        )
        ops = (AddBundle(bundle), MoveBranch("main", id, before))
        log.append(lambda head, ops=ops: ops)  # type: ignore[misc]
        log.roll()
        before = id


# -- by calculation ----------------------------------------------------------------------------------------------------


def giant(costs: list[Cost], entries: int, rows_per_leaf: float, children: float = 1280.0) -> list[Cost]:
    """The same operations in a bundle of ``entries``: what a deeper tree adds to the costs that were counted.

    A node more on the way down for each level more; the bytes of an inner node by what one of its children takes. A
    commit writes that node once more. ``children``: of an inner node, in the mean (256 + 1,024).
    """
    if not costs:
        return []
    levels = _levels(entries, rows_per_leaf, children) - _levels(costs[0].entries, rows_per_leaf, children)
    node_bytes = int(children * _CHILD_BYTES)
    found = []
    for cost in costs:
        is_write = cost.operation.startswith("commit")
        more = levels * (2 if cost.operation.startswith("diff") else 1)
        if cost.operation.startswith("upload"):
            continue
        found.append(
            Cost(
                entries,
                cost.operation,
                cost.reads + more,
                cost.writes + levels * is_write,
                cost.round_trips + levels * (1 + is_write),
                cost.bytes_in + more * node_bytes,
                cost.bytes_out + levels * node_bytes * is_write,
            )
        )
    return found


_CHILD_BYTES = 190  # three hashes, numbers, names, a pack or two; zstd gains little on hashes


def _levels(entries: int, rows_per_leaf: float, children: float) -> int:
    """Inner levels of a tree."""
    leaves = max(entries / rows_per_leaf, 1.0)
    return 0 if leaves <= 1 else max(1, math.ceil(math.log(leaves, children)))
