"""Check small objects: sessions, lists of gc, forwarding addresses, notices, receipts, diamonds, runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sheaf.engine.check.report import FAULTS, CheckReport
from sheaf.engine.commit.diamonds import DiamondEnd, DiamondStart, SplitDone, SplitStart
from sheaf.engine.core import Core
from sheaf.engine.log.runs import get_run
from sheaf.engine.objects import get_object
from sheaf.errors import Corrupt, NotFound
from sheaf.format import keys
from sheaf.format.moved_v1 import decode_moved
from sheaf.format.replica_v1 import Behind, ReplicaNotice
from sheaf.format.session_v1 import (
    Damage,
    Erasing,
    Notice,
    Receipt,
    RunEnd,
    RunStart,
    Session,
    decode_condemned,
    unseal,
)

__all__ = ["check_small", "decoder_of"]

Decode = Callable[[bytes, str], object]


def _sealed(kind: str, struct: Any) -> Decode:
    return lambda data, key: unseal(data, kind, struct, key)


def _diamond(data: bytes, key: str) -> object:
    if key.endswith("/done.json"):
        return unseal(data, "split-done", SplitDone, key)
    if key.endswith("/end.json"):
        return unseal(data, "diamond-end", DiamondEnd, key)
    if "/splits/" in key:
        return unseal(data, "split", SplitStart, key)
    return unseal(data, "diamond", DiamondStart, key)


_KINDS: Final[dict[str, tuple[str, Decode]]] = {
    keys.SESSIONS: ("sessions", _sealed("session", Session)),
    keys.CONDEMNED: ("condemned", decode_condemned),
    keys.MOVED: ("moved", decode_moved),
    keys.ERASED: ("notices", _sealed("erased", Notice)),
    keys.ERASING: ("erasures", _sealed("erasing", Erasing)),
    keys.DAMAGED: ("notes of damage", _sealed("damaged", Damage)),
    keys.RECEIPTS: ("receipts", _sealed("receipt", Receipt)),
    keys.REPLICA: ("replica notices", _sealed("replica", ReplicaNotice)),
    keys.BEHIND: ("notes of replicas", _sealed("behind", Behind)),
}


def decoder_of(key: str) -> Decode:
    """Return the decoder of objects under a key, which raises if one is damaged. Raises Corrupt for other keys."""
    for prefix, (_, decode) in _KINDS.items():
        if key.startswith(prefix):
            return decode
    if key.startswith(keys.RUNS):
        return _sealed("run-start", RunStart) if key.endswith("/start.json") else _sealed("run-end", RunEnd)
    if key.startswith(keys.REPOS) and "/diamonds/" in key:
        return _diamond
    if key.startswith(keys.SLOTS):
        # This module imports an optional library.
        from sheaf.format.keyslot_v1 import decode_slot

        return decode_slot
    raise Corrupt(f"unknown object {key}")


def check_small(core: Core, report: CheckReport) -> None:
    """Check that each small object is sound, and that no run has ended that never began."""
    for prefix, (what, decode) in _KINDS.items():
        _check(core, report, what, decode, [stat.key for stat in core.backend.list(prefix)])
    if core.config.is_encrypted:
        # This module imports an optional library.
        from sheaf.format.keyslot_v1 import decode_slot

        _check(core, report, "keys", decode_slot, [stat.key for stat in core.backend.list(keys.SLOTS)])
    diamonds = [stat.key for stat in core.backend.list(keys.REPOS) if "/diamonds/" in stat.key]
    _check(core, report, "diamonds", _diamond, diamonds)
    for id in sorted({stat.key.split("/")[1] for stat in core.backend.list(keys.RUNS)}):
        report.count("runs")
        with report.noting("runs", f"{keys.RUNS}{id}"):
            get_run(core, id)


def _check(core: Core, report: CheckReport, what: str, decode: Decode, listed: list[str]) -> None:
    for key, error in zip(listed, core.io.map(partial(_examine, core, decode), listed), strict=True):
        report.count(what)
        if error is not None:
            report.fault(what, key, error)


def _examine(core: Core, decode: Decode, key: str) -> Any:
    try:
        decode(get_object(core.backend, key), key)
    except NotFound:
        # The object was deleted since it was listed.
        return None
    except FAULTS as error:
        return error
    return None
