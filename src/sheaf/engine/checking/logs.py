"""Logs: every record follows the one before it, and the newest says what all of them add up to."""

from __future__ import annotations

from typing import Any

from sheaf.engine.checking.report import Report
from sheaf.engine.core import Core
from sheaf.engine.log import Log, State
from sheaf.errors import Corrupt, NotFound, Repairable, SheafError
from sheaf.format import keys
from sheaf.format.record_v1 import PAGE_RECORDS, decode_page, encode_page
from sheaf.model.log import Record, RefTarget

__all__ = ["check_log"]

_PRUNE_EVERY = 500  # records; a state that is never pruned would grow with the log


def check_log(core: Core, base: str, log: Log[Any, Any], report: Report) -> Any:
    """Read every record itself, and every page; returns the state. Raises Corrupt, NotFound."""
    head = log.head()
    page: list[Record] = []
    state, before = log.empty, ""
    for record in log.originals(head.n):
        if record.prev != before:
            raise Corrupt(f"record {record.n} of {base}log does not follow the one before it")
        before = record.write
        state = _after(state, record)
        report.count("records")
        page.append(record)
        if len(page) == PAGE_RECORDS:
            _check_page(core, base, page, report)
            page = []
    if state.pruned() != head.state:
        raise Corrupt(f"record {head.n} of {base}log does not say what all records together say")
    return head.state


def _after(state: State, record: Record) -> State:
    origin = RefTarget("", record.n, record.time, record.author)
    try:
        for op in record.ops:
            state = state.apply(op, origin)
    except SheafError as error:
        raise Corrupt(f"record {record.n} does not fit the ones before it: {error.message}") from error
    return state if record.n % _PRUNE_EVERY else state.pruned()


def _check_page(core: Core, base: str, records: list[Record], report: Report) -> None:
    """A page that is damaged is no loss: its records are there themselves."""
    key = keys.log_page(base, records[0].n // PAGE_RECORDS)
    try:
        data = core.backend.get(key)
    except NotFound:
        return
    report.count("pages")
    try:
        if encode_page(decode_page(data, key)) != encode_page(records):
            raise Corrupt(f"{key} does not hold the records that it should")
    except SheafError as error:
        report.add("page", key, Repairable(error.message))
