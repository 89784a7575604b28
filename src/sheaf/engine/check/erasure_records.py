"""Erasures: what a receipt names has a notice, and what has a notice has a receipt, unless an erasure is under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from sheaf.engine.check.report import FAULTS, Report
from sheaf.engine.core import Core
from sheaf.engine.objects import get_object
from sheaf.format import keys
from sheaf.format.session_v1 import Notice, Receipt, unseal

__all__ = ["check_erasures"]

T = TypeVar("T")
_OPEN = (keys.ERASING, keys.CONDEMNED)  # while one of these is there, an erasure is between its steps


def check_erasures(core: Core, report: Report) -> None:
    """Note notices that are missing, and count contents without a receipt.

    These are no damage: an erasure that was stopped looks like one whose receipt is lost, and the same command completes
    both. What is damaged is noted elsewhere, and then nothing is said of what it may name.
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


def _read(core: Core, prefix: str, kind: str, type: type[T]) -> Iterator[tuple[str, T]]:
    for stat in core.backend.list(prefix):
        with suppress(*FAULTS):
            yield stat.key, unseal(get_object(core.backend, stat.key), kind, type, stat.key)
