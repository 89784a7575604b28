"""Check logs: every record exists, is sound, and follows the previous one; the head is their sum; pages repeat them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sheaf.engine.check.report import FAULTS, CheckReport
from sheaf.engine.clock import parse_time
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import Head, Log
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, NotFound, Repairable, SheafError, Unsupported
from sheaf.format import keys
from sheaf.format.record_v1 import PAGE_RECORDS, decode_ops, decode_page, decode_record
from sheaf.model.records import (
    AddBundle,
    BringBack,
    BundleRecord,
    CreateRepo,
    DeleteBundle,
    DeleteRepo,
    MoveBranch,
    Record,
    RedactBundle,
    RenameRepo,
    RepoEntry,
    RepoOp,
    RepoState,
    RestoreBundle,
    RestoreRepo,
    SetAside,
    SetLabel,
    StoreOp,
    StoreState,
)

__all__ = ["check_repo_log", "check_store_log"]


def check_store_log(core: Core, log: Log[StoreState, StoreOp], report: CheckReport) -> StoreState:
    """Check the store's own log; return the state of its head, with repos that only its records name."""
    names: dict[str, str | None] = {}
    before = len(report.problems)
    head, error = _checked_head(core, log, keys.STORE_LOG)
    for record in _records(core, keys.STORE_LOG, head.n, report):
        for op in _operations(record, StoreOp, keys.STORE_LOG, report):
            if isinstance(op, CreateRepo | RenameRepo | RestoreRepo):
                names[op.id] = op.name
            elif isinstance(op, DeleteRepo):
                names[op.id] = None
    if error is not None:
        _add_unsaid(report, before, keys.STORE_LOG, error)
    said = {repo.id: None if repo.deleted else repo.name for repo in head.state.repos.values()}
    if said != names and error is None and report.ok:
        report.add("log", "log/", "the state in the newest record of the store's log does not match its records")
    recorded = {id: RepoEntry(id, name, "", "") for id, name in names.items() if name is not None}
    sound = {id: repo for id, repo in head.state.repos.items() if repo.id == id}
    state: StoreState = msgspec.structs.replace(head.state, repos={**recorded, **sound})
    return state


def check_repo_log(
    core: Core, log: Log[RepoState, RepoOp], repo: str, report: CheckReport, *, even_quarantined: bool = False
) -> list[BundleRecord]:
    """Check a repo's log; return its live bundles as far as sound records give them.

    ``even_quarantined``: also the quarantined ones.
    """
    base = keys.repo(repo)
    before = len(report.problems)
    found = _Replayed()
    head, error = _checked_head(core, log, base)
    for record in _records(core, base, head.n, report):
        for op in _operations(record, RepoOp, base, report):
            found.apply(op)
    if error is not None:
        _add_unsaid(report, before, base, error)
    state = head.state
    for noun, refs in (("label", state.labels), ("branch", state.branches)):
        for name, target in refs.items():
            if target.bundle not in found.alive:
                report.add(
                    "ref", f"{noun}:{name}", f"{noun} '{name}' points to bundle {target.bundle}, which does not exist"
                )
    if len(report.problems) == before and not found.adds_up_to(state):
        report.add("log", base, f"the state in the newest record of {base}log does not match its records")
    if found.aside:
        report.count("bundles quarantined", len(found.aside))
    return [bundle for id, bundle in found.alive.items() if even_quarantined or id not in found.aside]


@dataclass(slots=True)
class _Replayed:
    """The sum of a repo's records, computed as simply as possible: a second opinion on the states in them."""

    alive: dict[str, BundleRecord] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    follows: bool = True  #: True if each redaction replaced the tree that its record expects

    def apply(self, op: Any) -> None:
        """Apply an operation of a record."""
        match op:
            case AddBundle(bundle=bundle) | RestoreBundle(bundle=bundle):
                self.alive[bundle.id] = bundle
            case RedactBundle(bundle=id):
                if id in self.alive:
                    self.follows &= self.alive[id].root.id == op.expect
                    self.alive[id] = op.of(self.alive[id])
            case DeleteBundle(bundle=gone):
                self.alive.pop(gone, None)
                self.aside.pop(gone, None)
            case SetAside(bundle=broken, reason=reason):
                self.aside[broken] = reason
            case BringBack(bundle=restored):
                self.aside.pop(restored, None)
            case SetLabel(name=name, bundle=target):
                _point(self.labels, name, target)
            case MoveBranch(name=name, bundle=target):
                _point(self.branches, name, target)

    def adds_up_to(self, state: RepoState) -> bool:
        labels = {name: target.bundle for name, target in state.labels.items()}
        branches = {name: target.bundle for name, target in state.branches.items()}
        known = all(self.alive.get(id) == bundle for id, bundle in state.bundles.items())
        latest = state.latest in self.alive if state.latest else not self.alive
        said = (labels, branches, state.count, state.aside)
        right = said == (self.labels, self.branches, len(self.alive), self.aside)
        return self.follows and known and latest and right


def _point(refs: dict[str, str], name: str, bundle: str | None) -> None:
    if bundle is None:
        refs.pop(name, None)
    else:
        refs[name] = bundle


def _checked_head(core: Core, log: Log[Any, Any], base: str) -> tuple[Head[Any], SheafError | None]:
    """Return the head. If it can't be read, return an empty state at the newest listed record, and the error."""
    try:
        return log.head(), None
    except FAULTS as error:
        return Head(_last_listed(core, base), "", log.empty), error


def _last_listed(core: Core, base: str) -> int:
    newest = core.backend.newest(f"{base}log/")
    try:
        n = keys.record_number(newest) if newest is not None else -1
    except Corrupt:
        return -1
    return n if newest == keys.log_record(base, n) else -1


def _add_unsaid(report: CheckReport, before: int, base: str, error: SheafError) -> None:
    """Report that a head can't be read, unless a problem of one of its records was reported already."""
    if len(report.problems) == before:
        report.fault("log", f"{base}log/", error)


def _records(core: Core, base: str, last: int, report: CheckReport) -> Iterator[Record]:
    """Yield every sound record up to the head, page by page. A record that a page contains isn't lost either."""
    before: Record | None = None
    for first in range(0, last + 1, PAGE_RECORDS):
        numbers = range(first, min(first + PAGE_RECORDS, last + 1))
        records = dict(zip(numbers, core.io.map(lambda n: _record(core, base, n), numbers), strict=True))
        page = _page(core, base, first // PAGE_RECORDS, last, records, report) if len(numbers) == PAGE_RECORDS else {}
        for n in numbers:
            record = _settled(keys.log_record(base, n), records[n], page.get(n), report)
            if record is not None and before is not None and before.n == n - 1 and record.prev != before.write:
                report.add("log", keys.log_record(base, n), f"record {n} does not follow record {n - 1}")
            if record is not None:
                yield record
            before = record
        report.count("records", len(numbers))


def _record(core: Core, base: str, n: int) -> Record | SheafError:
    key = keys.log_record(base, n)
    try:
        record = decode_record(get_object(core.backend, key), key)
        return record if record.n == n else Corrupt(f"{key} contains record {record.n}")
    except FAULTS as error:
        return error


def _settled(key: str, found: Record | SheafError, paged: Record | None, report: CheckReport) -> Record | None:
    if isinstance(found, Record):
        return found
    missing = isinstance(found, NotFound)
    if paged is None:
        report.add("log", key, f"{key} is missing" if missing else found.message, missing=missing)
    else:
        report.add("log", key, f"{found.message}; its page has a copy", repairable=True, missing=missing)
    return paged


def _page(
    core: Core, base: str, k: int, last: int, records: dict[int, Record | SheafError], report: CheckReport
) -> dict[int, Record]:
    """Return the records of a page by number; empty if the page is missing or can't be trusted."""
    key = keys.log_page(base, k)
    try:
        page = {record.n: record for record in decode_page(get_object(core.backend, key), key)}
        wrong = [n for n, record in records.items() if isinstance(record, Record) and _slim(record) != page[n]]
        if wrong:
            raise Corrupt(f"{key} differs from the log in record {wrong[0]}")
        report.count("pages")
        return page
    except NotFound:
        if _is_due(core, base, k, last):
            report.fault("page", key, Repairable(f"{key} is missing"), missing=True)
    except (Corrupt, Unsupported) as error:
        report.fault("page", key, Repairable(error.message))
    return {}


def _is_due(core: Core, base: str, k: int, last: int) -> bool:
    """True if a page must have been written: two commits followed while it was the newest one.

    Each commit writes the page if it is missing. One may have been interrupted before that, so one alone proves
    nothing.
    """
    commits, first = 0, (k + 1) * PAGE_RECORDS
    for n in range(first, min(first + PAGE_RECORDS - 1, last + 1)):
        record = _record(core, base, n)
        if isinstance(record, Record):
            commits += any(isinstance(op, dict) and op.get("op") == "add-bundle" for op in record.ops)
        if commits == 2:
            return True
    return False


def _slim(record: Record) -> Record:
    return msgspec.structs.replace(record, state=None, since=-1, delta=None)


def _operations(record: Record, struct: Any, base: str, report: CheckReport) -> tuple[Any, ...]:
    """Return a record's operations; none if they can't be read, which is reported."""
    key, found = keys.log_record(base, record.n), tuple[Any, ...]()
    with report.noting("log", key):
        found = decode_ops(record.ops, tuple[struct, ...], key)
    with report.noting("log", key):
        parse_time(record.time)
    return found
