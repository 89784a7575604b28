"""Check that a store is complete and undamaged. This only reads, except that it writes notes of damaged objects.

It may run while others write and gc runs. Objects that are missing because a bundle was deleted in the meantime are not
reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from msgspec import structs

from sheaf.engine.check.chunk_refs import ChunkRefs
from sheaf.engine.check.erasure_records import check_erasures
from sheaf.engine.check.index_objects import Indexed, check_index, going
from sheaf.engine.check.log_chains import check_repo_log, check_store_log
from sheaf.engine.check.manifests import Trees
from sheaf.engine.check.pack_data import Packs
from sheaf.engine.check.read_history import Readings
from sheaf.engine.check.report import FAULTS, CheckReport, Problem, ReportProgress
from sheaf.engine.check.small_objects import check_small
from sheaf.engine.core import Core
from sheaf.engine.gc.mark import live_bundles
from sheaf.engine.log.record_log import repo_log, store_log
from sheaf.engine.object_cache import Cache, NoCache
from sheaf.engine.sessions.damage import noted_keys
from sheaf.errors import InvalidInput
from sheaf.format import keys
from sheaf.model.records import BundleRecord, RepoEntry
from sheaf.storage.wrappers.readonly import ReadOnlyBackend

__all__ = ["CheckReport", "PackSelection", "Problem", "check_store"]

_AGAIN = 3  # attempts, if bundles are deleted during the check


@dataclass(frozen=True, slots=True)
class PackSelection:
    """Which packs to read completely.

    ``share``: the part of all packs, from 0 (none) to 1. Of a part, those come first that were read longest ago, as far
    as ``state`` has recorded it. ``resume``: leave out what an interrupted check has read. ``seed``: varies the order
    of packs that were never read. ``packs``: read these in any case.
    """

    share: float = 0.0
    resume: bool = False
    seed: str = ""
    state: Cache = field(default_factory=NoCache)
    packs: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InvalidInput(f"invalid share of the packs: {self.share:.0%}", "give a share from 0% to 100%")


def check_store(
    core: Core,
    *,
    reading: PackSelection | None = None,
    repo: str | None = None,
    even_quarantined: bool = False,
    on_progress: ReportProgress | None = None,
) -> CheckReport:
    """Check every log, bundle, node and location of bytes, and as many bytes of packs as ``reading`` says.

    Memory is bounded. The store itself is read, never cached copies.

    Args:
        repo: only this repo (its id), and only the packs that it needs.
        even_aside: also quarantined bundles.
        on_progress: called from time to time with what is being checked and how many so far.

    Raises:
        Unavailable, Denied: the store can't be read, so there is no result.
    """
    # Reading a log normally writes its pages. A check writes notes of damage and nothing else.
    bare = structs.replace(core, cache=NoCache(), backend=ReadOnlyBackend(core.backend, but=keys.DAMAGED))
    for _ in range(_AGAIN):
        check = _Check(
            bare, reading or PackSelection(), repo, even_quarantined, on_progress or (lambda what, done: None)
        )
        report, bundles = check.run()
        if report.ok or not _are_gone(bare, bundles):
            break
    return report


def _are_gone(core: Core, bundles: list[BundleRecord]) -> bool:
    """True if one of these bundles was deleted in the meantime: gc may have deleted what the check looked for."""
    try:
        alive = {bundle.id for bundle in live_bundles(core)[0]}
    except FAULTS:
        return False
    return any(bundle.id not in alive for bundle in bundles)


@dataclass(slots=True)
class _Check:
    core: Core
    reading: PackSelection
    repo: str | None
    even_quarantined: bool
    on_progress: ReportProgress
    report: CheckReport = field(default_factory=CheckReport)

    def run(self) -> tuple[CheckReport, list[BundleRecord]]:
        """Return the report, and the bundles that were checked."""
        indexed = self._indexed() if self.repo is None else None
        readings = Readings.load(self.reading.state)
        packs = Packs(
            self.core,
            self.report,
            self.on_progress,
            self._to_read(readings),
            readings,
            indexed.compare if indexed is not None else None,
            indexed.names if indexed is not None else None,
        )
        bundles = self._bundles()
        try:
            self._trees(packs, bundles)
        finally:
            if self.reading.share or self.reading.packs:
                readings.save()
        if self.reading.share == 1:
            readings.begun = 0
            readings.save()
        if indexed is not None:
            indexed.on_progress(self.report)
            check_small(self.core, self.report)
            check_erasures(self.core, self.report)
            self.report.noted = noted_keys(self.core)
            self.report.unfinished = list(self.core.backend.unfinished())
        return self.report, bundles

    def _bundles(self) -> list[BundleRecord]:
        """Return the live bundles of all repos that are to be checked."""
        state = check_store_log(self.core, store_log(self.core), self.report)
        wanted = [r for r in state.repos.values() if not r.deleted and self.repo in (None, r.id)]
        return [bundle for repo in wanted for bundle in self._of_repo(repo)]

    def _of_repo(self, repo: RepoEntry) -> list[BundleRecord]:
        problems = self.report.problems
        before = len(problems)
        living: list[BundleRecord] = []
        with self.report.noting("log", "log/"):
            log = repo_log(self.core, repo.id)
            living = check_repo_log(self.core, log, repo.id, self.report, even_quarantined=self.even_quarantined)
        problems[before:] = [replace(problem, repo=repo.name) for problem in problems[before:]]
        return living

    def _trees(self, packs: Packs, bundles: list[BundleRecord]) -> None:
        places = ChunkRefs(packs.check)
        trees = Trees(self.core, places, self.report, self.on_progress)
        for bundle in bundles:
            trees.bundle(bundle)
        places.finish()
        while packs.follow.finish():
            # Chunks that were moved may have been moved again: repeat until there are none.
            pass
        packs.finish()

    def _to_read(self, readings: Readings) -> set[bytes]:
        """Return the packs to read completely, of all that the store has: also those that were noted as damaged."""
        noted = keys.ids_of(key for key in noted_keys(self.core) if key.startswith(keys.PACKS))
        return self._due(readings) | self.reading.packs | set(noted)

    def _due(self, readings: Readings) -> set[bytes]:
        """Return the packs that are to be read completely according to share and record, and begin or resume the record."""
        if not self.reading.share:
            return set()
        listed = set(keys.ids_of(stat.key for stat in self.core.backend.list(keys.PACKS)))
        readings.forget_but(listed)
        if self.reading.share < 1:
            return readings.due(listed, self.reading.share, self.reading.seed)
        if not self.reading.resume:
            readings.begun = 0
        done = readings.done()
        readings.begun = readings.begun or self.core.clock.now_ns()
        if done:
            self.report.count("packs read before", len(done & listed))
        return listed - done

    def _indexed(self) -> Indexed:
        indexed = Indexed(going(self.core))
        check_index(self.core, self.report, self.on_progress, indexed)
        return indexed
