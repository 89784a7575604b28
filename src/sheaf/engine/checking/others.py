"""Everything that stands beside logs, manifests and packs: the index, sessions, runs, diamonds, what gc has written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from blake3 import blake3

from sheaf.engine.checking.report import Report
from sheaf.engine.core import Core
from sheaf.engine.diamonds import DiamondEnd, DiamondStart, SplitDone, SplitStart
from sheaf.engine.listed import Listed
from sheaf.engine.runs import get_run
from sheaf.engine.tables import load_table
from sheaf.errors import Corrupt, NotFound, Repairable, SheafError
from sheaf.format import keys
from sheaf.format.index_v1 import decode_index
from sheaf.format.moved_v1 import decode_moved
from sheaf.format.session_v1 import Erased, Session, decode_condemned, unseal

__all__ = ["check_index", "check_others"]

Check = Callable[[bytes, str], object]


def check_index(core: Core, report: Report) -> None:
    """Every index object: one that is damaged, or that packs don't agree with, is no loss."""
    for key in _keys(core, keys.INDEX):
        report.count("index objects")
        try:
            _index(core, core.backend.get(key), key)
        except NotFound:
            continue
        except SheafError as error:
            report.add("index", key, Repairable(f"{key} is damaged: {error.message}"))


def _index(core: Core, data: bytes, key: str) -> None:
    if blake3(data).hexdigest() != key.rpartition("-")[2]:
        raise Corrupt("its bytes don't match its name")
    wrong = Listed(decode_index(data, key)[1], frozenset(), partial(load_table, core)).wrong()
    if wrong:
        raise Corrupt(f"pack {wrong[0].hex()} does not hold what it lists")


def check_others(core: Core, report: Report) -> None:
    """The small objects: each is whole, and says what an object of its kind says."""
    sealed: dict[str, Check] = {
        keys.SESSIONS: lambda data, key: unseal(data, "session", Session, key),
        keys.CONDEMNED: decode_condemned,
        keys.MOVED: decode_moved,
        keys.ERASED: lambda data, key: unseal(data, "erased", Erased, key),
    }
    for prefix, check in sealed.items():
        for key in _keys(core, prefix):
            _checked(core, report, prefix, key, check)
    for key in _keys(core, keys.REPOS):
        if "/diamonds/" in key:
            _checked(core, report, "diamonds/", key, _diamond)
    for id in sorted({key.split("/")[1] for key in _keys(core, keys.RUNS)}):
        _run(core, report, id)


def _checked(core: Core, report: Report, kind: str, key: str, check: Check) -> None:
    report.count(kind.rstrip("/"))
    try:
        check(core.backend.get(key), key)
    except NotFound:
        return  # it ended meanwhile
    except SheafError as error:
        report.add(kind.rstrip("/"), key, error)


def _diamond(data: bytes, key: str) -> object:
    if key.endswith("/done.json"):
        return unseal(data, "split-done", SplitDone, key)
    if key.endswith("/end.json"):
        return unseal(data, "diamond-end", DiamondEnd, key)
    if "/splits/" in key:
        return unseal(data, "split", SplitStart, key)
    return unseal(data, "diamond", DiamondStart, key)


def _run(core: Core, report: Report, id: str) -> None:
    report.count("runs")
    try:
        get_run(core, id)
    except SheafError as error:
        report.add("runs", f"{keys.RUNS}{id}", error)


def _keys(core: Core, prefix: str) -> Iterator[str]:
    return (stat.key for stat in core.backend.list(prefix))
