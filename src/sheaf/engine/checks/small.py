"""Small objects that guard the others: sessions, lists of gc, forwarding addresses, notices, receipts, runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sheaf.engine.checks.report import FAULTS, Report
from sheaf.engine.core import Core
from sheaf.errors import NotFound
from sheaf.format import keys
from sheaf.format.moved_v1 import decode_moved
from sheaf.format.session_v1 import Notice, Receipt, RunEnd, RunStart, Session, decode_condemned, unseal

__all__ = ["check_small"]

Decode = Callable[[bytes, str], object]


def _sealed(kind: str, type: Any) -> Decode:
    return lambda data, key: unseal(data, kind, type, key)


def _run(data: bytes, key: str) -> object:
    kind, type = ("run-start", RunStart) if key.endswith("/start.json") else ("run-end", RunEnd)
    return unseal(data, kind, type, key)


_KINDS: Final[dict[str, tuple[str, Decode]]] = {
    keys.SESSIONS: ("sessions", _sealed("session", Session)),
    keys.CONDEMNED: ("condemned", decode_condemned),
    keys.MOVED: ("moved", decode_moved),
    keys.ERASED: ("notices", _sealed("erased", Notice)),
    keys.RECEIPTS: ("receipts", _sealed("receipt", Receipt)),
    keys.RUNS: ("runs", _run),
}


def check_small(core: Core, report: Report) -> None:
    """Each of them must be whole."""
    for prefix, (what, decode) in _KINDS.items():
        listed = [stat.key for stat in core.backend.list(prefix)]
        for key, error in zip(listed, core.io.map(partial(_look, core, decode), listed), strict=True):
            report.count(what)
            if error is not None:
                report.fault(what, key, error)


def _look(core: Core, decode: Decode, key: str) -> Any:
    try:
        decode(core.backend.get(key), key)
    except NotFound:
        return None  # it ended since it was listed
    except FAULTS as error:
        return error
    return None
