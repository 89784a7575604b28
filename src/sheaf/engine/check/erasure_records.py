"""Check erasures: contents in a receipt have a notice, and notices have a receipt, unless an erasure is in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from sheaf.engine.check.report import FAULTS, CheckReport
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.format import keys
from sheaf.format.session_v1 import Notice, Receipt, unseal

__all__ = ["check_erasures"]

T = TypeVar("T")
_OPEN = (keys.ERASING, keys.CONDEMNED)  # while one of these exists, an erasure is in progress


def check_erasures(core: Core, report: CheckReport) -> None:
    """Report missing notices, and count contents without a receipt.

    Contents without a receipt are not damage: an interrupted erasure looks like one whose receipt is lost, and running
    the erasure again completes both. Damaged records are reported elsewhere; what they may name is not reported then.
    """
    before = len(report.problems)
    receipts = dict(_read(core, keys.RECEIPTS, "receipt", Receipt))
    notices = {notice.content: notice for _, notice in _read(core, keys.ERASED, "erased", Notice)}
    erased = {content for receipt in receipts.values() for content in receipt.contents}
    for content in sorted(erased - notices.keys()):
        key = keys.erased(bytes.fromhex(content))
        if core.backend.stat(key) is None:
            report.add(
                "notices", key, f"{key} is missing: erased content could be stored again unnoticed", missing=True
            )
    here = {content for content, notice in notices.items() if not notice.origin}
    lost = sorted(here - erased)
    if lost and len(report.problems) == before and not _is_open(core):
        report.count("erasures without receipts", len(lost))


def _is_open(core: Core) -> bool:
    return any(True for prefix in _OPEN for _ in core.backend.list(prefix))


def _read(core: Core, prefix: str, kind: str, struct: type[T]) -> Iterator[tuple[str, T]]:
    for stat in core.backend.list(prefix):
        with suppress(*FAULTS):
            yield stat.key, unseal(get_object(core.backend, stat.key), kind, struct, stat.key)
