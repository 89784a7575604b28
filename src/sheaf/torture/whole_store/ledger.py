"""The acknowledgements that the clients of a round received, and the verification of them after the round."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from sheaf.engine.gc.collect import collect
from sheaf.engine.gc.grace import GracePeriod
from sheaf.format import keys
from sheaf.repo.bundle import Bundle
from sheaf.repo.store import Store
from sheaf.torture.whole_store.claims import claim, claim_equal
from sheaf.torture.whole_store.store_invariants import assert_refs_resolve

__all__ = ["Files", "Ledger", "claim_files", "claim_kept"]

Files = dict[str, str]  #: BLAKE3 of contents, by path


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An acknowledged bundle."""

    repo: str
    files: Files
    branch: str | None


@dataclass(slots=True)
class Ledger:
    """A record of acknowledgements, written by all clients. Safe to use from many threads."""

    bundles: dict[str, Acknowledged] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)  #: how often each operation was done
    labels: list[tuple[str, str, str]] = field(default_factory=list)  #: repo, name, bundle
    branches: dict[tuple[str, str], str] = field(default_factory=dict)  #: the client that created it
    _doubtful: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def commit(self, id: str, made: Acknowledged) -> None:
        """Record that a bundle was acknowledged."""
        with self._lock:
            self.bundles[id] = made
            self.counts["bundles"] += 1

    def label(self, repo: str, name: str, bundle: str) -> None:
        """Record that a label's move was acknowledged."""
        with self._lock:
            self.labels.append((repo, name, bundle))
            self.counts["labels"] += 1

    def branch(self, repo: str, name: str, who: str) -> None:
        """Record that a branch's creation was acknowledged. Raises Broken if two clients created it."""
        with self._lock:
            first = self.branches.setdefault((repo, name), who)
            self.counts["branches"] += 1
        claim(first == who, f"both {first} and {who} succeeded in creating branch {name}")

    def doubt(self, id: str) -> None:
        """Record that a client is about to delete a bundle."""
        with self._lock:
            self._doubtful.add(id)

    def trust(self, id: str) -> None:
        """Record that a bundle was not deleted, or was undeleted."""
        with self._lock:
            self._doubtful.discard(id)

    def is_safe(self, id: str) -> bool:
        """True if a bundle must exist."""
        with self._lock:
            return id in self.bundles and id not in self._doubtful

    def safe(self) -> dict[str, Acknowledged]:
        """All bundles that must exist."""
        with self._lock:
            return {id: made for id, made in self.bundles.items() if id not in self._doubtful}


def claim_files(bundle: Bundle, files: Files) -> None:
    """Raise Broken or Corrupt unless a bundle has exactly these files, all readable."""
    found = {entry.path: entry.content for entry in bundle.ls(recursive=True) if entry.kind == "file"}
    claim_equal(found, files, f"the files of bundle {bundle.id}")
    claim_equal(bundle.verify().files, len(files), f"the readable files of bundle {bundle.id}")


def claim_kept(store: Store, ledger: Ledger) -> None:
    """Raise Broken unless all that was acknowledged still holds, before and after a complete gc."""
    _claim_all(store, ledger, read_data=False)
    # A generation keeps what was in use while it ran, so the next one may find more garbage.
    for _ in range(2):
        collect(store.connected.core, GracePeriod(0))
    _claim_all(store, ledger, read_data=True)
    _claim_tidy(store)


def _claim_all(store: Store, ledger: Ledger, *, read_data: bool) -> None:
    problems = store.check(read_data=read_data).problems
    damage = [f"{problem.key}: {problem.message}" for problem in problems if not problem.repairable]
    claim(not damage, f"check found {len(damage)} damaged objects, first {damage[:1]}")
    there = {bundle.id: bundle for info in store.repos() for bundle in store.repo(info.name).bundles()}
    safe = ledger.safe()
    lost = safe.keys() - there.keys()
    claim(not lost, f"{len(lost)} of {len(safe)} acknowledged bundles are missing, such as {min(lost, default='')}")
    for id, made in safe.items():
        claim_files(there[id], made.files)
    for info in store.repos():
        assert_refs_resolve(store.repo(info.name))
    _claim_names(store, ledger, safe)


def _claim_names(store: Store, ledger: Ledger, safe: Iterable[str]) -> None:
    for info in store.repos():
        repo = store.repo(info.name)
        moves = {(move.name, move.bundle) for move in repo.label_history()}
        gone = [move for of, *move in ledger.labels if of == info.name and tuple(move) not in moves]
        claim(not gone, f"{len(gone)} acknowledged moves of labels are missing in the history, such as {gone[:1]}")
        made = {name for of, name in ledger.branches if of == info.name}
        lost = made - {branch.name for branch in repo.branches()}
        claim(not lost, f"acknowledged branches are missing: {sorted(lost)}")
        onto = {id for id in safe if (one := ledger.bundles[id]).repo == info.name and one.branch == "main"}
        away = onto - {bundle.id for bundle in repo.log("branch:main")} if onto else set()
        claim(not away, f"{len(away)} acknowledged bundles are missing in the history of their branch")


def _claim_tidy(store: Store) -> None:
    core = store.connected.core
    left = [stat.key for stat in core.backend.list(keys.CONDEMNED)]
    claim(not left, f"unfinished generations of gc: {left}")
    rest = collect(core, GracePeriod(0), dry_run=True)
    found = (rest.packs, rest.moved, rest.nodes, rest.objects)
    claim_equal(found, (0, 0, 0, 0), "the garbage after gc (packs, packs to repack, nodes, objects)")
