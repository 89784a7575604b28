"""Repair a store: check it, take the steps of a plan in their order, and check it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sheaf.engine.check.report import FAULTS, CheckReport
from sheaf.engine.context import Connected
from sheaf.engine.core import Core
from sheaf.engine.repair.damage_notes import review_notes
from sheaf.engine.repair.fetch import fetch
from sheaf.engine.repair.log_pages import write_pages
from sheaf.engine.repair.quarantine import Unreadable, quarantine_bundles, unreadable
from sheaf.engine.repair.rebuild_index import Rebuilt, rebuild_index
from sheaf.engine.repair.recheck import Recheck
from sheaf.engine.repair.restore_objects import Restoration
from sheaf.engine.replicas.object_kinds import ObjectKind, kind_of
from sheaf.engine.replicas.promotion import note_behind
from sheaf.engine.replicas.replica_records import state_of
from sheaf.engine.replicas.replica_set import ReplicaSet
from sheaf.engine.replicas.replicated_backend import ensure_primary
from sheaf.errors import SheafError
from sheaf.format import keys

__all__ = ["Copies", "RepairPlan", "Repaired", "repair_store"]


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """The steps of a repair, in this order; by default none.

    Args:
        from_replica: fetch missing and damaged objects from this location; "": from the store's replicas.
        pages: rewrite missing and damaged pages of logs.
        index: rebuild the dedup index.
        quarantine: quarantine unreadable bundles.
        is_dry: change nothing; only report what would be done.
        keep: a folder for copies of damaged objects that are replaced.
        agree: called before bundles are quarantined; raises an exception to stop.
    """

    from_replica: str | None = None
    pages: bool = False
    index: bool = False
    quarantine: bool = False
    is_dry: bool = False
    keep: Path | None = None
    agree: Callable[[list[Unreadable]], None] = lambda found: None


@dataclass(slots=True)
class Repaired:
    """The result of a repair, or of its dry run. ``found``: the problems before; ``left``: the remaining ones.

    ``fetched``: keys fetched from a replica; ``size``: their bytes; ``written``: keys of pages; ``failed``: keys that could
    not be repaired, with the reason; ``sound``: keys of sound objects whose damage notes were removed.
    """

    found: CheckReport = field(default_factory=CheckReport)
    left: CheckReport = field(default_factory=CheckReport)
    fetched: list[str] = field(default_factory=list)
    size: int = 0
    written: list[str] = field(default_factory=list)
    index: Rebuilt | None = None
    quarantined: list[Unreadable] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    sound: list[str] = field(default_factory=list)


class Copies(Protocol):
    """The replicas of a store that is repaired."""

    def with_replicas(self, core: Core) -> Core:
        """Return the same store, with replicas that receive what is written."""
        ...

    def replicas(self, core: Core) -> ReplicaSet:
        """Return the replicas themselves."""
        ...


def repair_store(
    restoration: Restoration, recheck: Recheck, plan: RepairPlan, copies: Copies, warn: Callable[[str], None]
) -> Repaired:
    """Check a store, take the steps of a plan, and check it again. Raises Refused, Corrupt."""
    done = Repaired(recheck.again())
    if plan.from_replica is not None:
        fetch(restoration, done.found, recheck.again)
        done.fetched, done.size, done.failed = restoration.restored, restoration.size, restoration.failed
    if plan.pages or plan.index or plan.quarantine:
        try:
            _Derivation(restoration.core, plan, recheck, copies, warn).run(done)
        except FAULTS:
            if not plan.is_dry:
                raise
            # what could be derived is known when the log is restored
    done.left = recheck.verdict()
    reviewed = review_notes(restoration.core, is_dry=plan.is_dry)
    done.sound, done.left.noted = reviewed.sound, reviewed.damaged
    done.failed = {key: why for key, why in done.failed.items() if _matters(key, done.left)}
    return done


@dataclass(slots=True)
class _Derivation:
    """The steps that need no replica: what they write is derived from what is there."""

    core: Core
    plan: RepairPlan
    recheck: Recheck
    copies: Copies
    warn: Callable[[str], None]

    def run(self, done: Repaired) -> None:
        Connected(self.core, None).ensure_writable()
        ensure_primary(self.core.backend, state_of(self.core).epoch)
        if self.plan.pages:
            done.written, failed = write_pages(self.core, self.recheck.last.problems, is_dry=self.plan.is_dry)
            done.failed |= failed
        whole = self.core if self.plan.is_dry else self.copies.with_replicas(self.core)
        if self.plan.quarantine:
            done.quarantined = self._quarantine(whole)
        if self.plan.index:
            done.index = rebuild_index(
                whole,
                but=frozenset(self.recheck.suspects.difference(keys.ids_of(done.fetched))),
                settle=self._settle,
                is_dry=self.plan.is_dry,
            )
            done.failed |= {keys.pack(pack): why for pack, why in done.index.unread.items()}
        if not self.plan.is_dry:
            self._pass_on()
            self.recheck.again()

    def _quarantine(self, core: Core) -> list[Unreadable]:
        found: list[Unreadable] = []
        while more := unreadable(
            core, self.recheck.last.problems
        ):  # a report names so many problems of a kind and no more
            if self.plan.is_dry:
                return more
            self.plan.agree(more)
            found += quarantine_bundles(core, more)
            self.recheck.again()
        return found

    def _settle(self) -> None:
        """Let replicas have all packs, or note that they lack some."""
        for url in state_of(self.core).replicas:
            try:
                self.copies.replicas(self.core).replicate(url)
            except SheafError as error:
                note_behind(self.core, (url,), f"it may lack packs that the index names: {error.message}")

    def _pass_on(self) -> None:
        try:
            if state_of(self.core).replicas:
                self.copies.replicas(self.core).replicate()
        except SheafError as error:
            self.warn(f"{error.message}: run `sheaf store replicate`")


def _matters(key: str, left: CheckReport) -> bool:
    """Whether it is a pity that an object could not be restored: it was needed, or is a record that a copy has otherwise."""
    return kind_of(key) is ObjectKind.RECORD or any(key == p.key or key in p.suspects for p in left.problems)
