"""Restore everything that a check finds missing or damaged from copies of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sheaf.engine.check.report import FAULTS, CheckReport, Problem
from sheaf.engine.chunks.verify_pack import verify_pack
from sheaf.engine.core import Core
from sheaf.engine.log.record_log import store_log
from sheaf.engine.objects import get_object
from sheaf.engine.repair.log_records import restore_logs
from sheaf.engine.repair.restore_objects import Restoration
from sheaf.engine.replicas.replica_records import is_copy, state_of
from sheaf.engine.sessions.forwarding import load_forwards
from sheaf.errors import Refused, SheafError
from sheaf.format import keys
from sheaf.model.records import MovePacks
from sheaf.storage.port import Backend, Stat

__all__ = ["fetch"]

_KEPT_FOR_EVER = (keys.ERASED, keys.RECEIPTS, keys.RUNS)
_ELSEWHERE = frozenset({"log", "index", "ref", "bundle", "size"})  # problems that no single object can solve


def fetch(restoration: Restoration, found: CheckReport, check: Callable[[], CheckReport]) -> CheckReport:
    """Repair the logs, then what was ``found``, and what ``check`` finds then, as long as a copy can help.

    Returns:
        The last report.

    Raises:
        Refused: a copy accepts writes itself, so one of the two is an older store.
        Corrupt: the store's log can't be repaired.
    """
    _ensure_one_primary(restoration)
    restore_logs(restoration, may_grow=not _is_copy(restoration.core))
    _fetch_lost_notices(restoration)
    moved = _moved(restoration.core)
    report = check() if restoration.restored and not restoration.is_dry else found
    while True:
        before = len(restoration.restored)
        for key in dict.fromkeys(_keys(restoration, report.problems, moved)):
            if key not in restoration.failed and key not in restoration.restored:
                restoration.restore(key)
        if len(restoration.restored) == before or restoration.is_dry:
            return report
        report = check()


def _is_copy(core: Core) -> bool:
    return is_copy(core.backend, _epoch(core)) is not None


def _epoch(core: Core) -> int:
    try:
        return state_of(core).epoch
    except FAULTS:
        return 0


def _ensure_one_primary(restoration: Restoration) -> None:
    if _is_copy(restoration.core):
        return
    for source in restoration.sources:
        if not _is_copy(Core(source, restoration.core.config, io=restoration.core.io)):
            raise Refused(
                f"{source.url} is not a replica of {restoration.core.backend.url}: it accepts writes",
                "if it was promoted, use it as the store and recreate this one as its replica in an empty location",
            )


def _fetch_lost_notices(restoration: Restoration) -> None:
    """Fetch objects that are never deleted: if a copy has one that this location lacks, it was lost."""
    for prefix in _KEPT_FOR_EVER:
        here = {stat.key for stat in restoration.core.backend.list(prefix)}
        there = {stat.key for source in restoration.sources for stat in _listed(source, prefix)}
        for key in sorted(there - here):
            restoration.restore(key)


def _listed(source: Backend, prefix: str) -> Iterator[Stat]:
    try:
        yield from source.list(prefix)
    except SheafError:
        return


def _moved(core: Core) -> frozenset[bytes]:
    """Return packs that gc or an erasure has replaced. They must not be fetched, for they may contain erased bytes."""
    try:
        records = list(store_log(core).records())
    except FAULTS:
        return frozenset()
    ops = (op for record in records for op in record.ops if isinstance(op, MovePacks))
    return frozenset(bytes.fromhex(pack) for op in ops for pack in op.packs)


def _keys(restoration: Restoration, problems: Iterable[Problem], moved: frozenset[bytes]) -> Iterator[str]:
    """Yield the keys of objects that may cause these problems."""
    for problem in problems:
        if problem.kind in _ELSEWHERE:
            continue
        if problem.kind == "pack":
            yield from _of_pack(restoration, problem.key, moved)
        elif problem.kind == "file":
            yield from _damaged(restoration.core, problem.suspects)
        elif problem.kind == "runs":
            yield from (f"{problem.key}/start.json", f"{problem.key}/end.json")
        else:
            yield problem.key


def _of_pack(restoration: Restoration, key: str, moved: frozenset[bytes]) -> Iterator[str]:
    """Yield the pack's key; or, if the pack was replaced, the keys of its forwarding addresses."""
    (pack,) = keys.ids_of([key])
    if pack not in moved:
        yield key
        return
    folder = keys.moved(pack, 0).rpartition("/")[0] + "/"
    said = {stat.key for source in restoration.sources for stat in _listed(source, folder)}
    if not said:
        restoration.failed[key] = "it was replaced, and no copy has its forwarding address"
    yield from sorted(said)


def _damaged(core: Core, suspects: Iterable[str]) -> Iterator[str]:
    """Yield those of these packs, and of the packs that replaced them, that are damaged or missing."""
    packs = set(keys.ids_of(suspects))
    try:
        packs |= load_forwards(core).targets(packs)
    except FAULTS:
        pass
    for pack in sorted(packs):
        try:
            verify_pack(get_object(core.backend, keys.pack(pack)), pack)
        except FAULTS:
            yield keys.pack(pack)
